import { MqpError } from './errors.ts';
import type { BatchCallback, ProduceResult } from './types.ts';

/** Messages that are answered together, by one callback. */
export class Batch {
  readonly callback: BatchCallback;
  readonly results: (ProduceResult | MqpError)[];
  remaining: number;
  firstError: MqpError | null = null;
  private isBegun = false;

  constructor(count: number, callback: BatchCallback) {
    this.callback = callback;
    this.results = new Array(count);
    this.remaining = count;
  }

  /**
   * All messages are in: from now on the callback may come, never inside the call that began it.
   */
  begin(): void {
    this.isBegun = true;
    if (this.remaining === 0) process.nextTick(() => this.finish());
  }

  settle(index: number, outcome: ProduceResult | MqpError): void {
    this.results[index] = outcome;
    if (outcome instanceof MqpError) this.firstError ??= outcome;
    if (--this.remaining === 0 && this.isBegun) this.finish();
  }

  private finish(): void {
    try {
      this.callback(this.firstError, this.results);
    } catch (error) {
      // The caller's mistake must not end the connection whose answers are being read.
      process.nextTick(() => {
        throw error;
      });
    }
  }
}
