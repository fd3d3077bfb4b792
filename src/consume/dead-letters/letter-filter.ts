import type { DeadFilter } from '../../../protocol/src/dead-letters.ts';
import { formatMessageId } from '../../../protocol/src/message-id.ts';
import { deadIdOf } from '../retry/dead-record.ts';
import type { Letter } from './letter-walk.ts';

/** The id that people know a dead letter by: the message's own, else the letter's. */
export function shownIdOf({ dead }: Letter): string {
  return formatMessageId(dead.id ?? deadIdOf(dead));
}

/** Whether a dead letter is among those that a filter means; all that is named must hold. */
export function matches(filter: DeadFilter, letter: Letter): boolean {
  const { dead, key } = letter;
  const { reason, fingerprint, fromMs, toMs, partition } = filter;
  if (reason !== undefined && !dead.reason.includes(reason)) return false;
  if (fingerprint !== undefined && dead.fingerprint !== fingerprint) return false;
  if (fromMs !== undefined && dead.lastFailureMs < fromMs) return false;
  if (toMs !== undefined && dead.lastFailureMs >= toMs) return false;
  if (partition !== undefined && dead.partition !== partition) return false;
  if (filter.key !== undefined && !key?.equals(filter.key)) return false;
  if (filter.id === undefined) return true;
  return filter.id === shownIdOf(letter) || filter.id === formatMessageId(deadIdOf(dead));
}
