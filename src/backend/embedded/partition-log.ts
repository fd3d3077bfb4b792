import type { Clock, Timer } from '../../base/clock.ts';

/** What an {@link PartitionLog} begins with. */
export interface PartitionStart {
  readonly topicId: number;
  readonly partition: number;
  readonly startOffset: number;
  readonly nextOffset: number;
  /** Bytes of the records it holds. */
  readonly bytes: number;
}

/** A chunk that is on the disk. */
export interface StoredChunk {
  readonly baseOffset: number;
  readonly messages: number;
  readonly bytes: number;
  readonly timestampMs: number;
}

/** How long a reader waits, and what ends it early. */
export interface WaitOptions {
  readonly waitMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** What memory holds of one partition: its span of offsets, its size, and who waits for more. */
export class PartitionLog {
  readonly topicId: number;
  readonly partition: number;
  #startOffset: number;
  #endOffset: number;
  #plannedOffset: number;
  #bytes: number;
  #oldestMs: number | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(start: PartitionStart) {
    this.topicId = start.topicId;
    this.partition = start.partition;
    this.#startOffset = start.startOffset;
    this.#endOffset = start.nextOffset;
    this.#plannedOffset = start.nextOffset;
    this.#bytes = start.bytes;
  }

  /** Offset of the oldest record. */
  get startOffset(): number {
    return this.#startOffset;
  }

  /** Offset after the newest record that is on the disk: readers see nothing behind it. */
  get endOffset(): number {
    return this.#endOffset;
  }

  /** Offset the next planned record gets; ahead of `endOffset` while a write is under way. */
  get plannedOffset(): number {
    return this.#plannedOffset;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** When the oldest chunk was written, in ms; undefined when that was not looked up. */
  get oldestMs(): number | undefined {
    return this.#oldestMs;
  }

  set oldestMs(ms: number | undefined) {
    this.#oldestMs = ms;
  }

  /** Takes the offsets of `messages` records for a write. */
  plan(messages: number): void {
    this.#plannedOffset += messages;
  }

  /** Notes a chunk that is on the disk, and wakes those that wait for it. */
  stored(chunk: StoredChunk): void {
    if (this.#startOffset === this.#endOffset) this.#oldestMs = chunk.timestampMs;
    this.#endOffset = chunk.baseOffset + chunk.messages;
    this.#bytes += chunk.bytes;
    this.wake();
  }

  /** Notes that the records before `offset`, of `bytes` in all, are gone. */
  forget(offset: number, bytes: number): void {
    this.#startOffset = offset;
    this.#bytes -= bytes;
    this.#oldestMs = undefined;
  }

  /** Notes that compaction took `bytes` of the records. */
  shrink(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Lets every waiting reader look again. */
  wake(): void {
    for (const go of [...this.#waiting]) go();
  }

  /** Readers that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves at the next {@link stored} or {@link wake}, after the time, or on the signal. */
  wait(options: WaitOptions): Promise<void> {
    const { signal } = options;
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const go = () => {
        this.#waiting.delete(go);
        timer?.cancel();
        signal?.removeEventListener('abort', go);
        resolve();
      };
      this.#waiting.add(go);
      timer = options.clock.setTimer(go, options.waitMs);
      signal?.addEventListener('abort', go, { once: true });
    });
  }
}
