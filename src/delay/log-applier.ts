import { DelayIdKind } from '../../protocol/src/generated.ts';
import type { FetchedRecords } from '../backend/consumer-port.ts';
import type { Clock } from '../base/clock.ts';
import {
  type DelayIndex,
  type DelayPlace,
  IndexChanges,
  type PartitionProgress,
} from './delay-index.ts';
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
   * What stands must be written again, in the place of all up to an offset: a later record of the
   * same key would outlive it. Where nothing stands, that record, `over`, must be ended.
   */
  | {
      readonly kind: 'restate';
      readonly id: Buffer;
      readonly upTo: number;
      readonly over?: RecordEnd;
    };

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
  readonly #clock: Clock;
  /** By their names: what is being written again, and how often. */
  readonly #restating = new Map<string, number>();

  constructor(parts: { index: DelayIndex; count: PendingCount; clock: Clock }) {
    this.#index = parts.index;
    this.#count = parts.count;
    this.#clock = parts.clock;
  }

  /** Where a partition goes on. */
  async begin(partition: number): Promise<PartitionProgress> {
    const progress = await this.#index.progress(partition);
    this.#count.begin(partition, progress.pending);
    return progress;
  }

  /** Nothing more is in the partition's log. */
  async heard(partition: number, applied: number): Promise<void> {
    const changes = new IndexChanges();
    const heardMs = this.#clock.now();
    changes.progress(partition, { applied, pending: this.#count.get(partition), heardMs });
    await this.#index.write(changes);
  }

  /** The partition is another node's. */
  end(partition: number): void {
    this.#count.end(partition);
    for (const name of this.#restating.keys()) {
      if (name.charCodeAt(1) === partition) this.#restating.delete(name);
    }
  }

  /** What stood was written again, and that was applied; or nothing stands any more. */
  restated(id: Buffer): void {
    const name = nameOf(id);
    const left = (this.#restating.get(name) ?? 1) - 1;
    if (left > 0) this.#restating.set(name, left);
    else this.#restating.delete(name);
  }

  async apply(batch: FetchedRecords): Promise<Applied> {
    const { partition } = batch;
    const records: (DelayRecord | undefined)[] = [];
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.records.subarray(batch.starts[i], batch.starts[i + 1]);
      const record = readDelayRecord(bytes);
      records.push(record?.id[1] === partition ? record : undefined);
    }
    const standing = await this.#standing(records);
    const round = new Round({
      index: this.#index,
      standing,
      restating: this.#restating,
      onUnseen: (record) => this.#count.applied(partition, timestampOf(record)),
    });
    for (const record of records) {
      if (record === undefined) round.foreign++;
      else if (record.target === undefined) round.end(record);
      else await round.schedule(record, record.target);
    }
    this.#count.add(partition, round.added);
    const pending = this.#count.get(partition);
    const heardMs = this.#clock.now();
    round.changes.progress(partition, { applied: batch.nextOffset, pending, heardMs });
    await this.#index.write(round.changes);
    return { effects: round.effects, foreign: round.foreign };
  }

  /** What stands of all that must be looked at: asked together, since one by one takes its time. */
  async #standing(records: readonly (DelayRecord | undefined)[]): Promise<Standing> {
    const ids = new Map<string, Buffer>();
    for (const record of records) {
      if (record !== undefined && !isBlind(record)) ids.set(nameOf(record.id), record.id);
    }
    const places = await this.#index.findAll([...ids.values()]);
    return new Map([...ids.keys()].map((name, i) => [name, places[i] ?? null]));
  }
}

/** Where messages stand, by the names of their ids; null: nowhere. */
type Standing = Map<string, DelayPlace | null>;

/** What a {@link Round} is made of. */
interface RoundParts {
  readonly index: DelayIndex;
  /** Where they stand after what was applied so far; absent: it was not asked for. */
  readonly standing: Standing;
  /** By their names: what is being written again, and how often; also by this round. */
  readonly restating: Map<string, number>;
  /** A message was taken without a look at what stands. */
  onUnseen(record: DelayRecord): void;
}

/** One batch while it is applied. */
class Round {
  readonly changes = new IndexChanges();
  readonly effects: LogEffect[] = [];
  readonly #parts: RoundParts;
  /** What this batch ended and remembers, by the offset of its end. */
  readonly #ended = new Map<string, number>();
  foreign = 0;
  added = 0;

  constructor(parts: RoundParts) {
    this.#parts = parts;
  }

  async schedule(record: DelayRecord, target: Buffer): Promise<void> {
    const { id, offset } = record;
    const dueMs = dueOf(target);
    if (isBlind(record)) this.#parts.onUnseen(record);
    const standing = this.#find(id);
    if (standing !== undefined && isIfAbsent(target)) {
      this.#restate(record);
      return;
    }
    if (await this.#isOutdated(record, standing)) {
      this.#restate(record, { offset, dueMs });
      return;
    }
    if (standing === undefined) this.added++;
    else if (standing.dueMs !== dueMs) this.changes.remove(id, standing.dueMs, false);
    this.changes.put(id, dueMs, offset, record.bytes);
    this.#parts.standing.set(nameOf(id), { dueMs, offset });
    this.effects.push({ kind: 'scheduled', record, dueMs });
  }

  end(record: DelayRecord): void {
    const { id, ends } = record;
    if (ends !== undefined && isBlind(record)) {
      // A message id has one message, so what fired is what stood: no need to ask.
      this.#remove(id, ends.dueMs);
      this.effects.push({ kind: 'ended', id, endsOffset: undefined });
      return;
    }
    const standing = this.#find(id);
    if (standing !== undefined && ends !== undefined && ends.offset < standing.offset) {
      // It fired while a later one took its place: that one waits on.
      this.effects.push({ kind: 'ended', id, endsOffset: ends.offset });
      this.#restate(record);
      return;
    }
    if (id[2] === DelayIdKind.SERIES || this.#parts.restating.has(nameOf(id))) {
      this.#ended.set(nameOf(id), record.offset);
      this.changes.ended(id, record.offset, timestampOf(record));
    }
    if (standing !== undefined) this.#remove(id, standing.dueMs);
    this.effects.push({ kind: 'ended', id, endsOffset: undefined });
  }

  /**
   * A record that stands for another, which is not the one that stands any more: a message was
   * replaced or ended while it was moved or written again, a series while it fired. Where nothing
   * stands it may also be that the cleaner took what it follows: what ended is remembered.
   */
  async #isOutdated({ id, ends }: DelayRecord, standing: DelayPlace | undefined): Promise<boolean> {
    if (ends === undefined) return false;
    if (standing !== undefined) return ends.offset < standing.offset;
    const ended = this.#ended.get(nameOf(id)) ?? (await this.#parts.index.endedAt(id));
    return ended !== undefined && ends.offset < ended;
  }

  /** @param after the record that would outlive what stands */
  #restate(after: DelayRecord, over?: RecordEnd): void {
    const { id, offset: upTo } = after;
    const { restating } = this.#parts;
    const name = nameOf(id);
    restating.set(name, (restating.get(name) ?? 0) + 1);
    this.effects.push({ kind: 'restate', id, upTo, ...(over === undefined ? {} : { over }) });
  }

  #remove(id: Buffer, dueMs: number): void {
    this.changes.remove(id, dueMs, true);
    this.#parts.standing.set(nameOf(id), null);
    this.added--;
  }

  #find(id: Buffer): DelayPlace | undefined {
    return this.#parts.standing.get(nameOf(id)) ?? undefined;
  }
}

/**
 * A message that only its message id names, scheduled or fired: nothing else has its id, so that
 * what stands need not be asked for.
 */
function isBlind({ id, target, ends }: DelayRecord): boolean {
  return isAlone(id) && (target === undefined ? ends !== undefined : !isMoved(target));
}

/** A batch in parts of so many records, over the same memory. */
export function* partsOf(batch: FetchedRecords, most: number): Generator<FetchedRecords> {
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

/** A delay id as a key of a map. */
export function nameOf(id: Buffer): string {
  return id.toString('latin1');
}

/** The id names one message for ever. */
export function isAlone(id: Buffer): boolean {
  return id[2] === DelayIdKind.MESSAGE || id[2] === DelayIdKind.LEVEL;
}
