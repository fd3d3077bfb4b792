import { delayIdOfKey, delayIdOfMessage, formatDelayId } from '../../../protocol/src/delay-id.ts';
import type { Due } from '../../../protocol/src/due.ts';
import { DueKind } from '../../../protocol/src/generated.ts';
import { parseMessageId } from '../../../protocol/src/message-id.ts';
import { MqpError } from './errors.ts';
import type { Message } from './message.ts';
import type { MessageInput, ProduceResult } from './types.ts';

/** When a message is to be delivered, as its input says; null: now. @throws INVALID_ARGUMENT */
export function dueOf(input: MessageInput): Due | null {
  const { delayMs, dueAtMs, levelMs, unique = false, ifAbsent = false } = input;
  const named = [delayMs, dueAtMs, levelMs].filter((value) => value !== undefined);
  const due = named[0];
  if (due === undefined) {
    if (unique || ifAbsent) throw invalid('unique and ifAbsent belong to a delayed message');
    return null;
  }
  if (named.length > 1) throw invalid('a message has one of delayMs, dueAtMs and levelMs');
  if (!Number.isSafeInteger(due) || due < 0) {
    throw invalid('a due time is a whole number of milliseconds, from 0');
  }
  if (unique && (input.key ?? null) === null) throw invalid('a unique message has a key');
  if (ifAbsent && !unique) throw invalid('ifAbsent belongs to a unique message');
  const kind =
    delayMs !== undefined ? DueKind.DELAY : dueAtMs !== undefined ? DueKind.TIME : DueKind.LEVEL;
  return { kind, due, unique, ifAbsent };
}

/** The result of a delayed message; `acceptedMs` below 0: not said. */
export function scheduledResult(
  message: Message,
  due: Due,
  { id, ack }: ProduceResult,
  acceptedMs: number,
): ProduceResult {
  const { kind } = due;
  const bytes =
    due.unique === true
      ? delayIdOfKey(message.topic.name, message.key ?? '')
      : delayIdOfMessage(parseMessageId(id), kind === DueKind.LEVEL);
  const delayId = formatDelayId(bytes);
  if (kind === DueKind.TIME) return { id, ack, delayId, dueAtMs: due.due };
  return { id, ack, delayId, ...(acceptedMs < 0 ? {} : { dueAtMs: acceptedMs + due.due }) };
}

function invalid(text: string): MqpError {
  return new MqpError('INVALID_ARGUMENT', text);
}
