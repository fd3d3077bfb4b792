import type { Clock } from './clock.ts';
import { MqpError } from './errors.ts';

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: MqpError): void;
}

/** Promises that one event settles together, each with its own deadline. */
export class Waiters<T> {
  private readonly clock: Clock;
  private readonly waiting = new Set<Waiter<T>>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** @throws MqpError TIMED_OUT (retriable) after `timeoutMs`; Infinity waits for ever */
  wait(timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const expire = () => {
        this.waiting.delete(waiter);
        reject(new MqpError('TIMED_OUT', what, { isRetriable: true }));
      };
      const timer =
        timeoutMs === Number.POSITIVE_INFINITY ? undefined : this.clock.setTimer(expire, timeoutMs);
      const waiter: Waiter<T> = {
        resolve(value) {
          timer?.cancel();
          resolve(value);
        },
        reject(error) {
          timer?.cancel();
          reject(error);
        },
      };
      this.waiting.add(waiter);
    });
  }

  resolve(value: T): void {
    const waiters = [...this.waiting];
    this.waiting.clear();
    for (const waiter of waiters) waiter.resolve(value);
  }

  reject(error: MqpError): void {
    const waiters = [...this.waiting];
    this.waiting.clear();
    for (const waiter of waiters) waiter.reject(error);
  }
}
