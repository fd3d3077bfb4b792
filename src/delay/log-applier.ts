import { DelayIdKind } from '../../protocol/src/generated.ts';
import type { FetchedRecords } from '../backend/consumer-port.ts';
import { type DelayIndex, type DelayPlace, IndexChanges } from './delay-index.ts';
import {
  type DelayRecord,
  dueOf,
  isIfAbsent,
  isMoved,
  type RecordEnd,
  readDelayRecord,
  timestampOf,
} from './delay-record.ts';
import type { PendingCount } from './pending-count.ts';

/** What a batch of the delay log means for what is held in memory; in the order of the log. */
export type LogEffect =
  | { readonly kind: 'scheduled'; readonly record: DelayRecord; readonly dueMs: number }
  | { readonly kind: 'ended'; readonly id: Buffer; readonly endsOffset: number | undefined }
  /**
   * What stands must be written again: a later record of the same key would outlive it. Where
   * nothing stands, that record, `over`, must be ended.
   */
  | { readonly kind: 'restate'; readonly id: Buffer; readonly over?: RecordEnd };

/** What became of a batch. */
export interface Applied {
  readonly effects: readonly LogEffect[];
  /** Records that are not of the delay log's form. */
  readonly foreign: number;
}

/**
 * Applies the delay log to the index: one write for a batch, its offset included. A record of a
 * message that only its message id names is written blindly, since nothing else has its id.
 */
export class LogApplier {
  readonly #index: DelayIndex;
  readonly #count: PendingCount;

  constructor(index: DelayIndex, count: PendingCount) {
    this.#index = index;
    this.#count = count;
  }

  /** Where a partition goes on: the offset after the last applied. */
  async begin(partition: number): Promise<number> {
    const { applied, pending } = await this.#index.progress(partition);
    this.#count.begin(partition, pending);
    return applied;
  }

  /** The partition is another node's. */
  end(partition: number): void {
    this.#count.end(partition);
  }

  async apply(batch: FetchedRecords): Promise<Applied> {
    const { partition } = batch;
    const round = new Round(this.#index, (record) =>
      this.#count.applied(partition, timestampOf(record)),
    );
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.records.subarray(batch.starts[i], batch.starts[i + 1]);
      const record = readDelayRecord(bytes);
      if (record === undefined || record.id[1] !== partition) round.foreign++;
      else if (record.target === undefined) await round.end(record);
      else await round.schedule(record, record.target);
    }
    this.#count.add(partition, round.added);
    const pending = this.#count.get(partition);
    round.changes.progress(partition, { applied: batch.nextOffset, pending });
    await this.#index.write(round.changes);
    return { effects: round.effects, foreign: round.foreign };
  }
}

/** One batch while it is applied. */
class Round {
  readonly changes = new IndexChanges();
  readonly effects: LogEffect[] = [];
  readonly #index: DelayIndex;
  /** A message was taken without a look at what stands. */
  readonly #onUnseen: (record: DelayRecord) => void;
  /** What this batch changed already; null: gone. */
  readonly #changed = new Map<string, DelayPlace | null>();
  /** Series that this batch ended, by the offset of their end. */
  readonly #ended = new Map<string, number>();
  foreign = 0;
  added = 0;

  constructor(index: DelayIndex, onUnseen: (record: DelayRecord) => void) {
    this.#index = index;
    this.#onUnseen = onUnseen;
  }

  async schedule(record: DelayRecord, target: Buffer): Promise<void> {
    const { id, offset } = record;
    const dueMs = dueOf(target);
    const alone = isAlone(id) && !isMoved(target);
    if (alone) this.#onUnseen(record);
    const standing = alone ? this.#changedPlace(id) : await this.#find(id);
    if (standing !== undefined && isIfAbsent(target)) {
      this.effects.push({ kind: 'restate', id });
      return;
    }
    if (await this.#isOutdated(record, standing)) {
      this.effects.push({ kind: 'restate', id, over: { offset, dueMs } });
      return;
    }
    if (standing === undefined) this.added++;
    else if (standing.dueMs !== dueMs) this.changes.remove(id, standing.dueMs, false);
    this.changes.put(id, dueMs, offset, record.bytes);
    this.#changed.set(nameOf(id), { dueMs, offset });
    this.effects.push({ kind: 'scheduled', record, dueMs });
  }

  async end(record: DelayRecord): Promise<void> {
    const { id, ends } = record;
    if (ends !== undefined && isAlone(id)) {
      // A message id has one message, so what fired is what stood: no need to ask.
      this.#remove(id, ends.dueMs);
      this.effects.push({ kind: 'ended', id, endsOffset: undefined });
      return;
    }
    const standing = await this.#find(id);
    if (standing !== undefined && ends !== undefined && ends.offset < standing.offset) {
      // It fired while a later one took its place: that one waits on.
      this.effects.push({ kind: 'ended', id, endsOffset: ends.offset });
      this.effects.push({ kind: 'restate', id });
      return;
    }
    if (id[2] === DelayIdKind.SERIES) {
      this.#ended.set(nameOf(id), record.offset);
      this.changes.ended(id, record.offset, timestampOf(record));
    }
    if (standing !== undefined) this.#remove(id, standing.dueMs);
    this.effects.push({ kind: 'ended', id, endsOffset: undefined });
  }

  /**
   * The next record of a series whose last one does not stand any more: the series was replaced,
   * or ended, while it fired. Where nothing stands it may also be that the cleaner took what it
   * follows: what ended is remembered.
   */
  async #isOutdated({ id, ends }: DelayRecord, standing: DelayPlace | undefined): Promise<boolean> {
    if (ends === undefined || id[2] !== DelayIdKind.SERIES) return false;
    if (standing !== undefined) return ends.offset < standing.offset;
    const ended = this.#ended.get(nameOf(id)) ?? (await this.#index.endedAt(id));
    return ended !== undefined && ends.offset < ended;
  }

  #remove(id: Buffer, dueMs: number): void {
    this.changes.remove(id, dueMs, true);
    this.#changed.set(nameOf(id), null);
    this.added--;
  }

  async #find(id: Buffer): Promise<DelayPlace | undefined> {
    const changed = this.#changed.get(nameOf(id));
    return changed === undefined ? this.#index.find(id) : (changed ?? undefined);
  }

  #changedPlace(id: Buffer): DelayPlace | undefined {
    return this.#changed.get(nameOf(id)) ?? undefined;
  }
}

/** A delay id as a key of a map. */
export function nameOf(id: Buffer): string {
  return id.toString('latin1');
}

/** The id names one message for ever. */
export function isAlone(id: Buffer): boolean {
  return id[2] === DelayIdKind.MESSAGE || id[2] === DelayIdKind.LEVEL;
}
