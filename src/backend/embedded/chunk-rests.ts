import type { LogChunk, LogPosition } from '../../store/lane-store.ts';

/**
 * Chunks that a reader has read in part, under the position where it goes on, so that a chunk
 * longer than an answer is not read from the disk once for each answer. The least recently used
 * goes when they hold more than `bytesMax`.
 */
export class ChunkRests {
  readonly #bytesMax: number;
  readonly #rests = new Map<string, LogChunk>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  put(position: LogPosition, chunk: LogChunk): void {
    if (chunk.records.length > this.#bytesMax) return;
    this.take(position);
    this.#rests.set(keyOf(position), chunk);
    this.#bytes += chunk.records.length;
    for (const [key, oldest] of this.#rests) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#rests.delete(key);
      this.#bytes -= oldest.records.length;
    }
  }

  /** The chunk that holds the position, which is then no longer kept. */
  take(position: LogPosition): LogChunk | undefined {
    const key = keyOf(position);
    const chunk = this.#rests.get(key);
    if (chunk === undefined) return undefined;
    this.#rests.delete(key);
    this.#bytes -= chunk.records.length;
    return chunk;
  }

  get bytes(): number {
    return this.#bytes;
  }
}

function keyOf(position: LogPosition): string {
  return `${position.topicId}/${position.partition}/${position.offset}`;
}
