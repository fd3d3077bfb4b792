import { coded } from '../base/errors.ts';
import type { KeyValueEntry } from './key-value-store.ts';

/** An iterator of a binding. */
export interface Cursor {
  /** The next entries in order; none at the end. */
  next(): Promise<readonly KeyValueEntry[]>;
  end(): Promise<void>;
}

/**
 * The calls of a binding that are under way. A binding that is closed under a call may crash the
 * process, so closing waits for the last one, and whoever comes later is refused.
 */
export class OpenCalls {
  #count = 0;
  #isClosing = false;
  #last: (() => void) | undefined;

  /** Runs one call. @throws STORE_CLOSED */
  async run<T>(call: () => Promise<T>): Promise<T> {
    this.#enter();
    try {
      return await call();
    } finally {
      this.#leave();
    }
  }

  /** The entries of a cursor, which is opened with the first of them and ended with the last. */
  async *entries(open: () => Cursor): AsyncGenerator<KeyValueEntry> {
    this.#refuseLate();
    const cursor = open();
    try {
      for (;;) {
        this.#enter();
        let step: readonly KeyValueEntry[];
        try {
          step = await cursor.next();
        } finally {
          this.#leave();
        }
        if (step.length === 0) return;
        for (const entry of step) yield entry;
      }
    } finally {
      // The binding ends what is open when it is closed.
      if (!this.#isClosing) await this.run(() => cursor.end());
    }
  }

  /** Resolves when no call is under way; from now on every other is refused. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      this.#last = resolve;
    });
  }

  #enter(): void {
    this.#refuseLate();
    this.#count++;
  }

  #leave(): void {
    this.#count--;
    if (this.#count === 0) this.#last?.();
  }

  #refuseLate(): void {
    if (this.#isClosing) throw coded('STORE_CLOSED', 'the store is closed');
  }
}
