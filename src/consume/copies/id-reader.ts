import type { ConsumerBackend, TopicPartition } from '../../backend/consumer-port.ts';
import { tailFrom } from '../../backend/port.ts';
import type { Clock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { DEDUPE_IDS, type DedupeWindow, type NotedRecords } from './dedupe.ts';

/** A partition is not held up for longer, in ms, however many are read back at once. */
const WAIT_MS = 2_000;
/** Partitions of a membership that are read back at once; the others wait for their turn. */
const AT_ONCE = 4;
/** Messages by which the size of a partition's messages is judged. */
const SAMPLE = 64;
const TWO_32 = 0x1_0000_0000;

/** Records below an end, back to back, as far as they were read. */
interface Part {
  readonly records: Buffer;
  readonly starts: Uint32Array;
  readonly offsets: Float64Array;
  readonly count: number;
}

/** What is left to be read, and whether somebody still waits for it. */
interface Budget {
  bytes: number;
  ids: number;
  isOpen: boolean;
}

/** What is read back, and how much of it. */
export interface ReadBackOptions {
  attemptsOf?: ((part: NotedRecords) => Uint16Array) | undefined;
  /** About how many ids; by default as many as a window holds. */
  readonly idsMax?: number;
  /** Default: 2 s. */
  readonly waitMs?: number;
}

/**
 * Reads ids again that the owner before had seen, so that a copy is known as one after a restart or
 * a take-over: the messages just before the floor, the last ones first.
 */
export class IdReader {
  readonly #backend: Pick<ConsumerBackend, 'cluster' | 'tail'>;
  readonly #clock: Clock;
  readonly #turns: (() => void)[] = [];
  #running = 0;

  constructor(backend: Pick<ConsumerBackend, 'cluster' | 'tail'>, clock: Clock) {
    this.#backend = backend;
    this.#clock = clock;
  }

  /**
   * Notes ids of messages before `floor`, in a retry topic with what `attemptsOf` reads of them.
   * Resolves after `waitMs` at the latest, and says whether all was read then; never rejects.
   */
  async before(
    place: TopicPartition,
    floor: number,
    ids: Pick<DedupeWindow, 'note'>,
    { attemptsOf, idsMax = DEDUPE_IDS, waitMs = WAIT_MS }: ReadBackOptions = {},
  ): Promise<boolean> {
    const parts: Part[] = [];
    const budget = { bytes: limits.idsReadBackBytes, ids: idsMax, isOpen: true };
    let isWhole = false;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(resolve, waitMs);
      void this.#inTurn(() => this.#read(place, floor, parts, budget))
        // Without them a copy is delivered: more than once is allowed.
        .then(
          () => {
            isWhole = budget.isOpen;
          },
          () => undefined,
        )
        .then(() => {
          timer.cancel();
          resolve();
        });
    });
    budget.isOpen = false;
    // The oldest first, since those are forgotten first.
    for (const part of parts.reverse()) {
      ids.note(part, this.#backend.cluster, new Uint8Array(part.count), attemptsOf?.(part));
    }
    return isWhole;
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#running >= AT_ONCE) await new Promise<void>((go) => this.#turns.push(go));
    this.#running++;
    try {
      await work();
    } finally {
      this.#running--;
      this.#turns.shift()?.();
    }
  }

  async #read(place: TopicPartition, floor: number, parts: Part[], budget: Budget): Promise<void> {
    let end = floor;
    let size = SAMPLE;
    while (end > 0 && budget.isOpen && budget.bytes > 0 && budget.ids > 0) {
      const from = Math.max(0, end - Math.min(size, budget.ids));
      const before = budget.bytes;
      const { startOffset, count } = await this.#span(place, { from, end }, parts, budget);
      if (startOffset >= from || count === 0) return;
      const bytes = Math.max(1, (before - budget.bytes) / count);
      size = Math.max(1, Math.floor(limits.tailBytesMax / bytes));
      end = from;
    }
  }

  /** Reads from one offset to another, as several parts when it must be. */
  async #span(
    place: TopicPartition,
    { from, end }: { from: number; end: number },
    parts: Part[],
    budget: Budget,
  ): Promise<{ startOffset: number; count: number }> {
    const found: Part[] = [];
    let position = from;
    let count = 0;
    let startOffset = 0;
    while (position < end && budget.isOpen) {
      const read = await this.#tail(place, position);
      startOffset = read.startOffset;
      const part = cut(read.records, read.count, end);
      budget.bytes -= part.records.length;
      budget.ids -= part.count;
      count += part.count;
      if (part.count > 0) found.push(part);
      if (read.nextOffset <= position) break;
      position = read.nextOffset;
    }
    parts.push(...found.reverse());
    return { startOffset, count };
  }

  async #tail({ topic, partition }: TopicPartition, position: number) {
    const at = { topic, partition, bytesMax: limits.tailBytesMax, waitMs: 0 };
    try {
      return await this.#backend.tail({ ...at, from: tailFrom.offset, position });
    } catch (error) {
      if (codeOf(error) !== 'OFFSET_OUT_OF_RANGE') throw error;
      // Retention has freed some of it: what is left begins later.
      return await this.#backend.tail({ ...at, from: tailFrom.beginning, position: 0 });
    }
  }
}

/** The records below `end`. */
function cut(bytes: Uint8Array, most: number, end: number): Part {
  const records = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = new Uint32Array(most + 1);
  const offsets = new Float64Array(most);
  let count = 0;
  let at = 0;
  while (count < most) {
    const offset = records.readUInt32BE(at + 4) * TWO_32 + records.readUInt32BE(at + 8);
    if (offset >= end) break;
    starts[count] = at;
    offsets[count++] = offset;
    at += 4 + records.readUInt32BE(at);
  }
  starts[count] = at;
  return { records: records.subarray(0, at), starts, offsets, count };
}
