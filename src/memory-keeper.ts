import type { Clock, Timer } from './base/clock.ts';

const LOOK_MS = 30_000;
/** So much more than after the last time is worth giving back what is free of it, in bytes. */
const GROWN_BYTES = 64 * 1024 * 1024;
/** What was in use then and is free now does not grow: it is given back after so long anyway. */
const ANYWAY_MS = 600_000;

/** Parts of a {@link MemoryKeeper}. */
export interface MemoryKeeperParts {
  readonly clock: Clock;
  /** What the process holds of the machine's memory, in bytes. */
  rss(): number;
  /** Gives back what the allocator keeps of freed memory. */
  giveBack(): Promise<void>;
}

/**
 * Gives freed memory back to the system: a read of ten million delayed messages, or a long backlog,
 * is freed in pieces all over the allocator's arenas, which keep it.
 */
export class MemoryKeeper {
  readonly #parts: MemoryKeeperParts;
  #timer: Timer | undefined;
  /** After it was given back last, or less since. */
  #leastBytes: number;
  #givenMs: number;
  #isClosed = false;

  constructor(parts: MemoryKeeperParts) {
    this.#parts = parts;
    this.#leastBytes = parts.rss();
    this.#givenMs = parts.clock.monotonic();
    this.#lookLater();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #lookLater(): void {
    this.#timer = this.#parts.clock.setTimer(() => void this.#look(), LOOK_MS);
  }

  async #look(): Promise<void> {
    const { clock, rss, giveBack } = this.#parts;
    const bytes = rss();
    this.#leastBytes = Math.min(this.#leastBytes, bytes);
    const hasGrown = bytes - this.#leastBytes >= GROWN_BYTES;
    if (hasGrown || clock.monotonic() - this.#givenMs >= ANYWAY_MS) {
      await giveBack();
      this.#leastBytes = rss();
      this.#givenMs = clock.monotonic();
    }
    if (!this.#isClosed) this.#lookLater();
  }
}
