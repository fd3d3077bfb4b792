import { DelayIdKind } from '../../protocol/src/generated.ts';
import type { FetchedRecords } from '../backend/consumer-port.ts';
import type { Clock } from '../base/clock.ts';
import { ChangedNames } from './changed-names.ts';
import {
  type DelayIndex,
  type DelayPlace,
  IndexChanges,
  type PartitionProgress,
} from './delay-index.ts';
import {
  acceptedOf,
  type DelayRecord,
  dueOf,
  isIfAbsent,
  isMoved,
  nameOf,
  type RecordEnd,
  readDelayRecord,
  timestampOf,
} from './delay-record.ts';
import type { PendingCount } from './pending-count.ts';

/** What a batch of the delay log means for what is held in memory; in the order of the log. */
export type LogEffect =
  | { readonly kind: 'scheduled'; readonly record: DelayRecord; readonly dueMs: number }
  | { readonly kind: 'ended'; readonly name: string; readonly endsOffset: number | undefined }
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

/** What a {@link LogApplier} is made of. */
export interface LogApplierParts {
  readonly index: DelayIndex;
  readonly count: PendingCount;
  readonly clock: Clock;
  /** Where a message stands in the index, by its name, as far as memory knows it for certain. */
  known(name: string): DelayPlace | undefined;
}

/**
 * Applies the delay log to the index: one write for what came, its offsets included. A record of a
 * message that only its message id names is written blindly, since nothing else has its id; unless
 * it was cancelled or moved: then it is a copy, and what was answered is written again over it.
 */
export class LogApplier {
  readonly #index: DelayIndex;
  readonly #count: PendingCount;
  readonly #clock: Clock;
  readonly #known: (name: string) => DelayPlace | undefined;
  /** By their names: what is being written again, and how often. */
  readonly #restating = new Map<string, number>();
  readonly #changed = new ChangedNames();
  /** Of each partition: nothing of its log up to then was missed, in unix ms. */
  readonly #heardMs = new Map<number, number>();

  constructor(parts: LogApplierParts) {
    this.#index = parts.index;
    this.#count = parts.count;
    this.#clock = parts.clock;
    this.#known = parts.known;
  }

  /** Where a partition goes on. */
  async begin(partition: number): Promise<PartitionProgress> {
    const progress = await this.#index.progress(partition);
    const nowMs = this.#clock.now();
    for await (const { id, atMs } of this.#index.endsOf(partition)) {
      if (isAlone(id)) this.#changed.add(nameOf(id), atMs, nowMs);
    }
    this.#count.begin(partition, progress.pending);
    // What begins now has missed nothing of before.
    const heardMs = progress.applied === 0 ? nowMs : progress.heardMs;
    if (heardMs === undefined) this.#heardMs.delete(partition);
    else this.#heardMs.set(partition, heardMs);
    return progress;
  }

  /** Nothing more is in the partition's log. */
  async heard(partition: number, applied: number): Promise<void> {
    const changes = new IndexChanges();
    const heardMs = this.#clock.now();
    this.#heardMs.set(partition, heardMs);
    changes.progress(partition, { applied, pending: this.#count.get(partition), heardMs });
    await this.#index.write(changes);
  }

  /** The partition is another node's. */
  end(partition: number): void {
    this.#count.end(partition);
    this.#changed.forget(partition);
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

  /**
   * Whether a line of the index is no longer where its message stands: two nodes accepted it, each
   * with a due time of its own, and both were written blindly; then it was cancelled or moved. Such
   * a line is removed. To be asked while nothing else changes the index; false: it is not one.
   */
  isStray(id: Buffer, dueMs: number): false | Promise<boolean> {
    if (!isAlone(id)) return false;
    const mayBe = this.#changed.has(nameOf(id)) || this.#changed.isCrowded(this.#clock.now());
    return mayBe && this.#removeStray(id, dueMs);
  }

  async #removeStray(id: Buffer, dueMs: number): Promise<boolean> {
    const standing = await this.#index.find(id);
    if (standing?.dueMs === dueMs) return false;
    const changes = new IndexChanges();
    changes.remove(id, dueMs, false);
    await this.#index.write(changes);
    this.#count.doubt(id[1] as number);
    return true;
  }

  /** What became of each batch; those of one partition are in their order. */
  async apply(batches: readonly FetchedRecords[]): Promise<readonly Applied[]> {
    const read = batches.map(recordsOf);
    const standing = await this.#standing(read.flat());
    const changes = new IndexChanges();
    const ended = new Map<string, number>();
    const nowMs = this.#clock.now();
    const applied: Applied[] = [];
    for (const [i, { partition, nextOffset, endOffset }] of batches.entries()) {
      const round = new Round({
        index: this.#index,
        changes,
        ended,
        standing,
        restating: this.#restating,
        changed: this.#changed,
        nowMs,
        isBlind: (record) => this.#isBlind(record),
        onUnseen: (record, target) =>
          this.#count.applied(partition, timestampOf(record) - acceptedOf(target)),
      });
      for (const record of read[i] as (DelayRecord | undefined)[]) {
        if (record === undefined) round.foreign++;
        else if (record.target === undefined) round.end(record);
        else await round.schedule(record, record.target);
      }
      this.#count.add(partition, round.added);
      // Deep in a backlog what ended is not read yet, and the log forgets it while it waits.
      if (nextOffset >= endOffset) this.#heardMs.set(partition, nowMs);
      const pending = this.#count.get(partition);
      const heardMs = this.#heardMs.get(partition);
      changes.progress(partition, {
        applied: nextOffset,
        pending,
        ...(heardMs === undefined ? {} : { heardMs }),
      });
      applied.push(round);
    }
    await this.#index.write(changes);
    return applied;
  }

  /** What stands of all that must be looked at: asked together, since one by one takes its time. */
  async #standing(records: readonly (DelayRecord | undefined)[]): Promise<Standing> {
    const standing: Standing = new Map();
    const asked = new Map<string, Buffer>();
    for (const record of records) {
      if (record === undefined) continue;
      const isBlind = this.#isBlind(record);
      // What fired is what stood: it is ended without a look. What memory has costs none.
      if (isBlind && record.target === undefined) continue;
      const known = this.#known(record.name);
      if (known !== undefined) standing.set(record.name, known);
      else if (!isBlind) asked.set(record.name, record.id);
    }
    const places = await this.#index.findAll([...asked.values()]);
    for (const [i, name] of [...asked.keys()].entries()) standing.set(name, places[i] ?? null);
    return standing;
  }

  /**
   * A message that only its message id names, scheduled or fired: nothing else has its id, so that
   * what stands need not be asked for. Not one that was changed, whose record may be a copy, nor
   * one that is written again.
   */
  #isBlind({ id, name, target, ends }: DelayRecord): boolean {
    if (!isAlone(id) || (target === undefined ? ends === undefined : isMoved(target))) return false;
    if (this.#restating.has(name)) return false;
    if (target === undefined) return true;
    return !this.#changed.has(name) && !this.#changed.isCrowded(this.#clock.now());
  }
}

/** Those of a batch; undefined for one that is not of its partition, or not of the log's form. */
function recordsOf(batch: FetchedRecords): (DelayRecord | undefined)[] {
  const { partition, count, records, starts } = batch;
  const read: (DelayRecord | undefined)[] = [];
  for (let i = 0; i < count; i++) {
    const record = readDelayRecord(records.subarray(starts[i], starts[i + 1]));
    read.push(record?.id[1] === partition ? record : undefined);
  }
  return read;
}

/** Where messages stand, by the names of their ids; null: nowhere. */
type Standing = Map<string, DelayPlace | null>;

/** What a {@link Round} is made of. */
interface RoundParts {
  readonly index: DelayIndex;
  readonly changes: IndexChanges;
  /** By their names: what was ended and is remembered, by the offset of its end. */
  readonly ended: Map<string, number>;
  /** Where they stand after what was applied so far; absent: it was not asked for. */
  readonly standing: Standing;
  /** By their names: what is being written again, and how often; also by this round. */
  readonly restating: Map<string, number>;
  readonly changed: ChangedNames;
  readonly nowMs: number;
  isBlind(record: DelayRecord): boolean;
  /** A message was taken without a look at what stands. */
  onUnseen(record: DelayRecord, target: Buffer): void;
}

/** One batch while it is applied. */
class Round implements Applied {
  readonly effects: LogEffect[] = [];
  readonly #parts: RoundParts;
  foreign = 0;
  added = 0;

  constructor(parts: RoundParts) {
    this.#parts = parts;
  }

  async schedule(record: DelayRecord, target: Buffer): Promise<void> {
    const { id, name, offset } = record;
    const dueMs = dueOf(target);
    if (this.#parts.isBlind(record)) this.#parts.onUnseen(record, target);
    const standing = this.#find(name);
    const isSingle = isAlone(id) && !isMoved(target);
    if (isSingle && (this.#isChanged(name) || (this.#isCrowded && (await this.#wasChanged(id))))) {
      this.#restate(record, { offset, dueMs });
      return;
    }
    if (standing !== undefined && isIfAbsent(target)) {
      this.#restate(record);
      return;
    }
    if (await this.#isOutdated(record, standing)) {
      this.#restate(record, { offset, dueMs });
      return;
    }
    if (standing === undefined) this.added++;
    else if (standing.dueMs !== dueMs) this.#parts.changes.remove(id, standing.dueMs, false);
    this.#parts.changes.put(id, dueMs, offset, record.bytes);
    if (isAlone(id) && isMoved(target)) this.#note(record);
    this.#parts.standing.set(name, { dueMs, offset });
    this.effects.push({ kind: 'scheduled', record, dueMs });
  }

  end(record: DelayRecord): void {
    const { id, name, ends } = record;
    if (ends !== undefined && this.#parts.isBlind(record)) {
      // A message id has one message, so what fired is what stood: no need to ask.
      this.#remove(record, ends.dueMs);
      this.effects.push({ kind: 'ended', name, endsOffset: undefined });
      return;
    }
    const standing = this.#find(name);
    if (standing !== undefined && ends !== undefined && ends.offset < standing.offset) {
      // It fired while a later one took its place: that one waits on.
      this.effects.push({ kind: 'ended', name, endsOffset: ends.offset });
      this.#restate(record);
      return;
    }
    const isAsked = isAlone(id) && ends === undefined;
    if (id[2] === DelayIdKind.SERIES || isAsked || this.#parts.restating.has(name)) {
      this.#note(record);
    }
    if (standing !== undefined) this.#remove(record, standing.dueMs);
    this.effects.push({ kind: 'ended', name, endsOffset: undefined });
  }

  /** Remembers an end, and of a single message a move too. */
  #note(record: DelayRecord): void {
    const { ended, changed, changes, nowMs } = this.#parts;
    const { name } = record;
    const atMs = timestampOf(record);
    ended.set(name, record.offset);
    changes.ended(record.id, record.offset, atMs);
    if (isAlone(record.id)) changed.add(name, atMs, nowMs);
  }

  /** A single message that was cancelled or moved. */
  #isChanged(name: string): boolean {
    return this.#parts.changed.has(name) || this.#parts.ended.has(name);
  }

  get #isCrowded(): boolean {
    return this.#parts.changed.isCrowded(this.#parts.nowMs);
  }

  /** The same, of one that the index alone remembers. */
  async #wasChanged(id: Buffer): Promise<boolean> {
    return (await this.#parts.index.endedAt(id)) !== undefined;
  }

  /**
   * A record that stands for another, which is not the one that stands any more: a message was
   * replaced or ended while it was moved or written again, a series while it fired. Where nothing
   * stands it may also be that the cleaner took what it follows: what ended is remembered.
   */
  async #isOutdated(
    { id, name, ends }: DelayRecord,
    standing: DelayPlace | undefined,
  ): Promise<boolean> {
    if (ends === undefined) return false;
    if (standing !== undefined) return ends.offset < standing.offset;
    const ended = this.#parts.ended.get(name) ?? (await this.#parts.index.endedAt(id));
    return ended !== undefined && ends.offset < ended;
  }

  /** @param after the record that would outlive what stands */
  #restate(after: DelayRecord, over?: RecordEnd): void {
    const { id, name, offset: upTo } = after;
    const { restating } = this.#parts;
    restating.set(name, (restating.get(name) ?? 0) + 1);
    this.effects.push({ kind: 'restate', id, upTo, ...(over === undefined ? {} : { over }) });
  }

  #remove({ id, name }: DelayRecord, dueMs: number): void {
    this.#parts.changes.remove(id, dueMs, true);
    this.#parts.standing.set(name, null);
    this.added--;
  }

  #find(name: string): DelayPlace | undefined {
    return this.#parts.standing.get(name) ?? undefined;
  }
}

/** The id names one message for ever. */
export function isAlone(id: Buffer): boolean {
  return id[2] === DelayIdKind.MESSAGE || id[2] === DelayIdKind.LEVEL;
}
