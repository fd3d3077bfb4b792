import { coded } from '../base/errors.ts';

const pattern = /^[a-zA-Z0-9._-]{1,249}$/;

/**
 * Why clients may not use `name` as a topic, as the end of a sentence; undefined when they may.
 * The rule is Kafka's own, and names beginning with `__` are kept for internal topics.
 */
export function topicNameFault(name: string): string | undefined {
  if (name.length === 0) return 'is empty';
  if (name.length > 249) return 'is longer than 249 characters';
  if (name === '.' || name === '..') return 'may not be . or ..';
  if (!pattern.test(name)) return 'may hold only letters, digits, dot, underscore and hyphen';
  if (isInternalTopic(name)) return 'begins with __, which is kept for internal topics';
  return undefined;
}

/** True for the topics that clients neither see nor use. */
export function isInternalTopic(name: string): boolean {
  return name.startsWith('__');
}

/** @throws INVALID_TOPIC with what is wrong with the name. */
export function checkTopicName(name: string): void {
  const fault = topicNameFault(name);
  if (fault === undefined) return;
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  throw coded('INVALID_TOPIC', `topic name ${JSON.stringify(shown)} ${fault}`);
}
