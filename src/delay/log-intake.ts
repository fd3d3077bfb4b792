import type { FetchedRecords } from '../backend/consumer-port.ts';
import type { Applied, LogApplier } from './log-applier.ts';

/** How far a partition that is ours is applied. */
export interface AppliedPartition {
  /** The offset after the last applied. */
  applied: number;
}

/** What a {@link LogIntake} asks of the cluster. */
export interface LogIntakeParts<Own extends AppliedPartition> {
  readonly applier: LogApplier;
  /** Runs a task after all before it. */
  work(task: () => Promise<void>): Promise<void>;
  /** Undefined: the partition is not ours. */
  own(partition: number): Own | undefined;
  /** It is in the index; `own.applied` is behind it. */
  onApplied(own: Own, part: FetchedRecords, applied: Applied): void;
  /** More of a partition may come. */
  want(partition: number, bytes: number): void;
}

interface Part<Own> {
  readonly part: FetchedRecords;
  /** Whose it was when it came. */
  readonly own: Own;
  /** Bytes to be asked for after it. */
  readonly credit: number;
}

/** Records that are applied without a pause: what is due meanwhile does not wait for more. */
const APPLY_MAX = 1_000;

/**
 * What comes of the delay log, on its way into the index. What came while others were applied is
 * one write, of whatever partitions it is: each write costs the same, and may be of one record.
 */
export class LogIntake<Own extends AppliedPartition> {
  readonly #parts: LogIntakeParts<Own>;
  /** Bounded by what was wanted of each partition. */
  readonly #received: Part<Own>[] = [];
  #isWorking = false;

  constructor(parts: LogIntakeParts<Own>) {
    this.#parts = parts;
  }

  receive(batch: FetchedRecords): void {
    const own = this.#parts.own(batch.partition);
    if (own === undefined) return;
    const parts = [...partsOf(batch, APPLY_MAX)];
    for (const [i, part] of parts.entries()) {
      const isLast = i === parts.length - 1;
      this.#received.push({ part, own, credit: isLast ? batch.records.length : 0 });
    }
    this.#start();
  }

  /** Nothing more comes; what is not applied is left, and read again by whoever has it next. */
  stop(): void {
    this.#received.length = 0;
  }

  #start(): void {
    if (this.#isWorking || this.#received.length === 0) return;
    this.#isWorking = true;
    void this.#parts.work(async () => {
      await this.#some();
      this.#isWorking = false;
      this.#start();
    });
  }

  async #some(): Promise<void> {
    let count = 0;
    const end = this.#received.findIndex(({ part }, i) => {
      count += part.count;
      return i > 0 && count > APPLY_MAX;
    });
    const taken = this.#received.splice(0, end < 0 ? this.#received.length : end);
    // Taken away since, and given back, a partition is read anew: part of what came is missing.
    const ours = taken.filter(({ part, own }) => this.#parts.own(part.partition) === own);
    await this.#apply(ours);
    for (const { part, credit } of ours) {
      if (credit > 0) this.#parts.want(part.partition, credit);
    }
  }

  async #apply(received: readonly Part<Own>[]): Promise<void> {
    const { applier, onApplied } = this.#parts;
    const upTo = new Map<number, number>();
    const parts: Part<Own>[] = [];
    for (const one of received) {
      const { part, own } = one;
      if (part.nextOffset <= (upTo.get(part.partition) ?? own.applied)) continue;
      upTo.set(part.partition, part.nextOffset);
      parts.push(one);
    }
    const applied = await applier.apply(parts.map(({ part }) => part));
    for (const [i, { part, own }] of parts.entries()) {
      own.applied = part.nextOffset;
      onApplied(own, part, applied[i] as Applied);
    }
  }
}

/** A batch in parts of so many records, over the same memory. */
function* partsOf(batch: FetchedRecords, most: number): Generator<FetchedRecords> {
  const { count, starts, offsets, keyHashes } = batch;
  for (let from = 0; from < count; from += most) {
    const to = Math.min(from + most, count);
    yield {
      ...batch,
      count: to - from,
      starts: starts.subarray(from, to + 1),
      offsets: offsets.subarray(from, to),
      keyHashes: keyHashes.subarray(from, to),
      nextOffset: to === count ? batch.nextOffset : (offsets[to] as number),
    };
  }
}
