import type { InternalTopicSpec } from './backend/publisher-port.ts';
import { limits as bounds } from './base/limits.ts';
import type { Config } from './config/schema.ts';
import { marksTopicSpec } from './consume/dead-letters/letter-marks.ts';
import { acksTopicSpec } from './consume/partition/acks-topic.ts';
import { longestWait, resolvePolicy } from './consume/retry/retry-policy.ts';
import { baseTopicOf } from './consume/retry/retry-record.ts';
import { delayTopicSpec } from './delay/delay-topic.ts';

/** Room for what a dead letter has beside its message, in bytes. */
const EXTRA_BYTES = 64 * 1024;

/** So much longer than its longest wait a retry topic keeps a message, in ms. */
const RETRY_EXTRA_MS = 7 * 24 * 60 * 60_000;

/** How the topics in which nodes keep their own state must be, on each cluster. */
export function internalTopics(config: Config): InternalTopicSpec[] {
  return [
    acksTopicSpec,
    marksTopicSpec(config.deadLetters.replicationFactor),
    delayTopicSpec(config.limits.messageBytesMax),
  ];
}

/**
 * What such a topic is made with beside: other programs may write longer messages to the topics
 * that groups read than this node takes of its clients.
 */
export function sideTopicMadeWith({ limits }: Config): Readonly<Record<string, string>> {
  const longest = Math.max(limits.messageBytesMax, bounds.messageBytesMax);
  return { 'max.message.bytes': String(longest + EXTRA_BYTES) };
}

/** The least that topics of dead letters must have. */
export function sideTopicConfig({ deadLetters, limits }: Config): Readonly<Record<string, string>> {
  const { retention } = deadLetters;
  return {
    'cleanup.policy': 'delete',
    'retention.ms': retention === 'forever' ? '-1' : String(retention),
    'retention.bytes': '-1',
    'max.message.bytes': String(limits.messageBytesMax + EXTRA_BYTES),
  };
}

/**
 * The least that the topic `TOPIC.GROUP.retry` must have, by the policy of topic and group. What
 * comes there may wait again before it is acknowledged, and dead letters may be kept for so short
 * a time that a group that is away for a day would lose what it put off.
 */
export function retryTopicConfig(
  config: Config,
  { topic, group }: { topic: string; group: string },
): Readonly<Record<string, string>> {
  const least = sideTopicConfig(config);
  const { retention } = config.deadLetters;
  if (retention === 'forever') return least;
  const { backoff } = resolvePolicy(config.retry, baseTopicOf(topic, group), group);
  const keptMs = Math.max(retention, longestWait(backoff) + RETRY_EXTRA_MS);
  return { ...least, 'retention.ms': String(keptMs) };
}
