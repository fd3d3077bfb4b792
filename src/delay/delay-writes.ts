import type { Publisher, PublishRecord, PublishResult } from '../backend/publisher-port.ts';
import { coded, codeOf, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';

interface Waiting {
  readonly record: PublishRecord;
  resolve(result: PublishResult): void;
}

const BATCH_MAX = 2_000;

/** Writes to the delay log for commands: what comes while a call is under way goes in the next. */
export class DelayWrites {
  readonly #publisher: Publisher;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  /**
   * @returns the offset; -1 when the cluster has it and does not say where
   * @throws what the cluster refused it with, BACKEND_UNAVAILABLE mostly; RETRY_LATER where too
   * many wait for a cluster that says nothing
   */
  async write(record: PublishRecord): Promise<{ partition: number; offset: number }> {
    if (this.#waiting.length >= limits.delayWritesMax) {
      throw coded('RETRY_LATER', 'too many changes of delayed messages wait for the cluster');
    }
    const result = await new Promise<PublishResult>((resolve) => {
      this.#waiting.push({ record, resolve });
      void this.#send();
    });
    if ('code' in result) throw coded(result.code, result.message);
    return result;
  }

  async #send(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX);
      const results = await this.#publish(batch.map(({ record }) => record));
      for (const [i, { resolve }] of batch.entries()) resolve(results[i] as PublishResult);
    }
    this.#busy = false;
  }

  async #publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    try {
      return await this.#publisher.publish(records);
    } catch (error) {
      const refusal = { code: codeOf(error), message: messageOf(error), retriable: true };
      return records.map(() => refusal);
    }
  }
}
