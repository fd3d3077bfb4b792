import { type CodedError, coded } from '../base/errors.ts';
import type { InternalTopicSpec } from './publisher-port.ts';

/** What is wrong with an internal topic. */
export interface TopicFault {
  readonly topic: string;
  readonly setting: string;
  readonly found: string;
  readonly needed: string;
}

/** Settings of which more keeps more. */
const minimal = [
  'retention.ms',
  'retention.bytes',
  'max.message.bytes',
  'delete.retention.ms',
  'min.compaction.lag.ms',
];

/**
 * Whether a setting that was found keeps at least what is needed: -1 is for ever.
 * @param found undefined: not set, so the cluster's default holds, which is not known here
 */
export function isEnough(setting: string, found: string | undefined, needed: string): boolean {
  if (found === needed) return true;
  if (!minimal.includes(setting) || found === undefined) return false;
  return found === '-1' || (needed !== '-1' && Number(found) >= Number(needed));
}

/** An internal topic as a cluster has it. */
export interface RealTopic {
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Every setting, those that nobody set too. */
  readonly settings: ReadonlyMap<string, string>;
}

/** What is weaker or other in a topic than its role needs: what nodes refuse, and doctor names. */
export function faultsOf(spec: InternalTopicSpec, real: RealTopic): TopicFault[] {
  const { name: topic, partitions, config, replicationFactor } = spec;
  const faults: TopicFault[] = [];
  const add = (setting: string, found: number | string, needed: number | string): void => {
    faults.push({ topic, setting, found: String(found), needed: String(needed) });
  };
  if (real.partitions !== partitions) add('partitions', real.partitions, partitions);
  if (replicationFactor !== 'auto' && real.replicationFactor < replicationFactor) {
    add('replication.factor', real.replicationFactor, replicationFactor);
  }
  for (const [setting, needed] of Object.entries(config)) {
    const found = real.settings.get(setting) ?? 'not shown to this node';
    if (isEnough(setting, found, needed) || samePolicies(setting, found, needed)) continue;
    add(setting, found, needed);
  }
  return faults;
}

/**
 * A topic with fewer replicas than one that is made now would get; undefined: it has as many, or
 * a number is set, which {@link faultsOf} compares. It is no fault: a topic keeps the replicas it
 * was made with when its cluster grows, and a node that refused it would not serve any more.
 */
export function thinnessOf(
  { name: topic, replicationFactor: set }: InternalTopicSpec,
  { replicationFactor, brokers }: Pick<RealTopic, 'replicationFactor'> & { brokers: number },
): TopicFault | undefined {
  const needed = autoReplicas(brokers);
  if (set !== 'auto' || replicationFactor >= needed) return undefined;
  const setting = 'replication.factor';
  return { topic, setting, found: String(replicationFactor), needed: String(needed) };
}

/** Replicas of a topic that is made without a number. */
export function autoReplicas(brokers: number): number {
  return Math.min(3, Math.max(1, brokers));
}

/** A list of policies has no order. */
function samePolicies(setting: string, found: string, needed: string): boolean {
  if (setting !== 'cleanup.policy') return false;
  const sorted = (policies: string): string =>
    policies
      .split(/\s*,\s*/)
      .sort()
      .join();
  return sorted(found) === sorted(needed);
}

/** What is wrong, in words. */
export function faultWords({ topic, setting, found, needed }: TopicFault): string {
  return `internal topic ${topic}: ${setting} is ${found}, and must be ${needed}`;
}

/** What a thin topic means, in words. */
export function thinWords({ topic, found, needed }: TopicFault): string {
  return `internal topic ${topic} has replication.factor ${found}, and the brokers allow ${needed}`;
}

/** What to do about a thin topic. */
export function thinAdvice({ topic, found, needed }: TopicFault): string {
  const loss = found === '1' ? 'the loss of one broker' : `the loss of ${found} brokers`;
  return `give ${topic} ${needed} replicas by kafka-reassign-partitions.sh: ${loss} loses it`;
}

/** The refusal of a role whose internal topic is not as it must be, with all that is to be told. */
export function roleRefused(fault: TopicFault): CodedError {
  const { topic, setting, needed } = fault;
  const hint = `Set ${setting} of ${topic} back to ${needed}, and start again.`;
  return coded('ROLE_REFUSED', faultWords(fault), { hint });
}
