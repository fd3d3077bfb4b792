import { type CodedError, coded } from '../base/errors.ts';

/** What is wrong with an internal topic. */
export interface TopicFault {
  readonly topic: string;
  readonly setting: string;
  readonly found: string;
  readonly needed: string;
}

/** Settings of which more keeps more. */
const minimal = ['retention.ms', 'retention.bytes', 'max.message.bytes'];

/**
 * Whether a setting that was found keeps at least what is needed: -1 is for ever.
 * @param found undefined: not set, so the cluster's default holds, which is not known here
 */
export function isEnough(setting: string, found: string | undefined, needed: string): boolean {
  if (found === needed) return true;
  if (!minimal.includes(setting) || found === undefined) return false;
  return found === '-1' || (needed !== '-1' && Number(found) >= Number(needed));
}

/** The refusal of a role whose internal topic is not as it must be, with all that is to be told. */
export function roleRefused({ topic, setting, found, needed }: TopicFault): CodedError {
  const words = `internal topic ${topic}: ${setting} is ${found}, and must be ${needed}`;
  const hint = `Set ${setting} of ${topic} back to ${needed}, and start again.`;
  return coded('ROLE_REFUSED', words, { hint });
}
