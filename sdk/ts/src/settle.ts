import { MqpError } from './errors.ts';
import type { Message } from './message.ts';
import type { ProduceResult } from './types.ts';

/** Tells the caller that the message was answered well; later calls do nothing. */
export function settleWell(message: Message, result: ProduceResult): void {
  if (message.isSettled) return;
  message.isSettled = true;
  leaveGroup(message);
  if (message.batch !== null) message.batch.settle(message.batchIndex, result);
  else message.resolve?.(result);
  forgetCaller(message);
}

/** Tells the caller how the message ended; later calls do nothing. */
export function settleBadly(message: Message, error: MqpError): void {
  if (message.isSettled) return;
  message.isSettled = true;
  leaveGroup(message);
  if (message.batch !== null) message.batch.settle(message.batchIndex, error);
  else message.reject?.(error);
  forgetCaller(message);
}

function leaveGroup(message: Message): void {
  message.abortGroup?.messages.delete(message);
  message.abortGroup = null;
}

function forgetCaller(message: Message): void {
  message.resolve = null;
  message.reject = null;
  message.batch = null;
}

/** The caller stops waiting for a message whose bytes may have left. */
export function unknownOutcome(why: string, id: string, cause?: unknown): MqpError {
  return new MqpError('UNKNOWN', `${why}: the message may have been delivered, or not`, {
    isRetriable: true,
    id,
    cause,
  });
}
