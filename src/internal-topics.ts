import type { InternalTopicSpec } from './backend/publisher-port.ts';
import { limits as bounds } from './base/limits.ts';
import type { Config } from './config/schema.ts';
import { marksTopicSpec } from './consume/dead-letters/letter-marks.ts';
import { acksTopicSpec } from './consume/partition/ack-map-store.ts';
import { delayTopicSpec } from './delay/delay-topic.ts';

/** Room for what a dead letter has beside its message, in bytes. */
const EXTRA_BYTES = 64 * 1024;

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

/** The least that topics of dead letters, and of messages that were put off, must have. */
export function sideTopicConfig({ deadLetters, limits }: Config): Readonly<Record<string, string>> {
  const { retention } = deadLetters;
  return {
    'cleanup.policy': 'delete',
    'retention.ms': retention === 'forever' ? '-1' : String(retention),
    'retention.bytes': '-1',
    'max.message.bytes': String(limits.messageBytesMax + EXTRA_BYTES),
  };
}
