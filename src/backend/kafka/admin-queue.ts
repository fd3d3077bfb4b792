import { createRequire } from 'node:module';

/** The part of kafkajs that holds back requests, by connection. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

let isDone = false;

/**
 * Keeps kafkajs from looking for work a thousand times a second. A connection of its version 2.2.4
 * that has sent its first request asks itself from then on whether one waits, after what is left of
 * a throttling; without one that is a negative time, which timers take for 1 ms, again and again.
 *
 * From this call on it only looks while a request does wait; whatever comes to wait begins the
 * looking itself. It counts for all users of kafkajs in the process, and does nothing where kafkajs
 * has no such queue. Any number of times.
 */
export function makeAdminQueuesRest(): void {
  if (isDone) return;
  isDone = true;
  const queue = requestQueue()?.prototype;
  const look = queue?.scheduleCheckPendingRequests;
  if (queue === undefined || look === undefined) return;
  queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0) look.call(this);
  };
}

function requestQueue(): { readonly prototype: RequestQueue } | undefined {
  try {
    return createRequire(import.meta.url)('kafkajs/src/network/requestQueue');
  } catch {
    return undefined;
  }
}
