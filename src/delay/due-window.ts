import { TimingWheel } from '../wheel/timing-wheel.ts';
import type { DelayPlace } from './delay-index.ts';
import { type DelayRecord, nameOf } from './delay-record.ts';
import { isAlone } from './log-applier.ts';
import type { Turn } from './series-rule.ts';

/**
 * `held`: a cancel or a move is on its way. `ended`: it fired. `over`: that is in the log too, and
 * not applied yet.
 */
export type DelayState = 'waiting' | 'held' | 'queued' | 'firing' | 'ended' | 'over';

/** It was published, and that is not applied yet. */
export function hasFired(near: NearDelay | undefined): boolean {
  return near?.state === 'ended' || near?.state === 'over';
}

/** It fires or fired: nothing changes it any more. */
export function isTooLate(near: NearDelay | undefined): boolean {
  return near?.state === 'firing' || hasFired(near);
}

/** A delayed message that is near. Its record is its own copy. */
export interface NearDelay {
  readonly id: Buffer;
  readonly name: string;
  dueMs: number;
  offset: number;
  bytes: Buffer;
  /** The topic it is for. */
  topic: string;
  /** Due time and offset are those that the index has: of the last record that was applied. */
  isIndexed: boolean;
  state: DelayState;
  /** Of a series: what became of its firing. */
  turn: Turn | undefined;
  /** In the wheel; 0: not. */
  handle: number;
  slot: number;
}

const NONE = Buffer.alloc(0);

/** What a {@link DueWindow} takes up. */
export type NewDelay = Pick<
  NearDelay,
  'id' | 'dueMs' | 'offset' | 'bytes' | 'topic' | 'isIndexed'
> &
  Partial<Pick<NearDelay, 'name'>>;

/** How much a {@link DueWindow} may hold. */
export interface WindowLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

interface Held {
  entries: number;
  bytes: number;
}

/**
 * What lies near in time, in memory: the wheel says when it is due. A topic may have as much of it
 * as is free (the dynamic threshold of Choudhury and Hahne): one alone half, two a third each; so
 * there is always room for one more, however much is due of the others.
 */
export class DueWindow {
  readonly limits: WindowLimits;
  readonly #onDue: (entry: NearDelay) => void;
  readonly #byName = new Map<string, NearDelay>();
  #slots: (NearDelay | undefined)[] = [];
  #freeSlots: number[] = [];
  #wheel: TimingWheel;
  #bytes = 0;
  /** What is held of each topic. */
  readonly #topics = new Map<string, Held>();

  constructor(limits: WindowLimits, startMs: number, onDue: (entry: NearDelay) => void) {
    this.limits = limits;
    this.#onDue = onDue;
    this.#wheel = this.#newWheel(startMs);
  }

  get size(): number {
    return this.#byName.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** More would go beyond the limits. */
  get isFull(): boolean {
    return this.#byName.size >= this.limits.entriesMax || this.#bytes >= this.limits.bytesMax;
  }

  /** A topic has its share: more of it is to stay in the index. */
  isOver(topic: string): boolean {
    return this.#shareOf(topic) >= 1;
  }

  /** A topic has less than half of its share: what was left of it may come. */
  hasRoom(topic: string): boolean {
    return this.#shareOf(topic) < 0.5;
  }

  /** More is held than twice the limits: what is left in the index must wait. */
  get isFarOver(): boolean {
    const { entriesMax, bytesMax } = this.limits;
    return this.#byName.size >= 2 * entriesMax || this.#bytes >= 2 * bytesMax;
  }

  /** Whether it is still what is held of its message. */
  holds(entry: NearDelay): boolean {
    return this.#slots[entry.slot] === entry;
  }

  find(id: Buffer): NearDelay | undefined {
    return this.#byName.get(nameOf(id));
  }

  named(name: string): NearDelay | undefined {
    return this.#byName.get(name);
  }

  /** Where it stands in the index, where that is certain. */
  placeOf(name: string): DelayPlace | undefined {
    const entry = this.named(name);
    return entry?.isIndexed === true ? { dueMs: entry.dueMs, offset: entry.offset } : undefined;
  }

  /** Holds a message and wakes it when due. What stood under its id is forgotten. */
  add(delay: NewDelay): NearDelay {
    const entry = this.addQueued(delay);
    this.#wait(entry);
    return entry;
  }

  /** Holds a message that is due, and that its caller puts into a queue. */
  addQueued(delay: NewDelay): NearDelay {
    const { id, name = nameOf(id), dueMs, offset, bytes, topic, isIndexed } = delay;
    const before = this.#byName.get(name);
    if (before !== undefined) this.drop(before);
    const slot = this.#freeSlots.pop() ?? this.#slots.length;
    // Field by field: a spread cost 11 us of each message.
    const entry: NearDelay = {
      id,
      name,
      dueMs,
      offset,
      bytes,
      topic,
      isIndexed,
      state: 'queued',
      turn: undefined,
      handle: 0,
      slot,
    };
    this.#slots[slot] = entry;
    this.#byName.set(name, entry);
    this.#count(entry, 1, entry.bytes.length);
    return entry;
  }

  /** Takes it out of the wheel, so that it cannot become due; it stays known. */
  hold(entry: NearDelay): void {
    this.#unwind(entry);
    entry.state = 'held';
  }

  /** What is held is another record of its message now, and stays held. */
  change(entry: NearDelay, to: Omit<NewDelay, 'id' | 'name'>): void {
    this.#count(entry, -1, -entry.bytes.length);
    Object.assign(entry, to);
    this.#count(entry, 1, entry.bytes.length);
  }

  /** What was held waits again. */
  release(entry: NearDelay): void {
    if (entry.state === 'held' && this.#byName.get(entry.name) === entry) this.#wait(entry);
  }

  /** What was queued is not due any more, since the clock went back. */
  putBack(entry: NearDelay): void {
    if (this.#slots[entry.slot] === entry) this.#wait(entry);
  }

  /** Forgets it. */
  drop(entry: NearDelay): void {
    if (this.#slots[entry.slot] !== entry) return;
    this.#unwind(entry);
    this.#slots[entry.slot] = undefined;
    this.#freeSlots.push(entry.slot);
    this.#count(entry, -1, -entry.bytes.length);
    if (this.#byName.get(entry.name) === entry) this.#byName.delete(entry.name);
  }

  /** Its record is not needed any more. */
  empty(entry: NearDelay): void {
    if (this.#slots[entry.slot] === entry) this.#count(entry, 0, -entry.bytes.length);
    entry.bytes = NONE;
  }

  /** They fired, and that is in the log now: known until it is applied, where it is. */
  over(entries: readonly NearDelay[], isGiven: (partition: number) => boolean): void {
    for (const entry of entries) {
      entry.state = 'over';
      // Given back, a partition is read beyond what is in the log before anything of it fires.
      if (!isGiven(entry.id[1] as number)) this.drop(entry);
    }
  }

  /** The index begins anew for what `which` names: where it stands there is not known. */
  doubt(which: (entry: NearDelay) => boolean): void {
    for (const entry of this.#byName.values()) if (which(entry)) entry.isIndexed = false;
  }

  /** Forgets what `which` names, save what is on its way, or fired and is not in the log. */
  dropIdle(which: (entry: NearDelay) => boolean): void {
    for (const entry of this.#byName.values()) {
      const { state } = entry;
      const isIdle = state === 'waiting' || state === 'queued' || state === 'over';
      if (isIdle && which(entry)) this.drop(entry);
    }
  }

  /**
   * Forgets the later half of what waits, when more is held than twice the limit; the due time
   * from which on things were forgotten.
   */
  shrink(): number | undefined {
    return this.isFarOver ? this.#dropLater(() => true) : undefined;
  }

  /** The same of one topic, when it has more than twice its share. */
  shrinkTopic(topic: string): number | undefined {
    if (this.#shareOf(topic) < 2) return undefined;
    return this.#dropLater((entry) => entry.topic === topic);
  }

  /** Wakes what is due; true when there is more to do at once. */
  advance(nowMs: number): boolean {
    return this.#wheel.advance(nowMs, (slot) => {
      const entry = this.#slots[slot];
      if (entry === undefined) return;
      entry.handle = 0;
      entry.state = 'queued';
      this.#onDue(entry);
    });
  }

  nextWakeMs(): number {
    return this.#wheel.nextWakeMs();
  }

  /** The clock went back: everything that waits is put into a new wheel. */
  rewind(nowMs: number): void {
    this.#wheel = this.#newWheel(nowMs);
    for (const entry of this.#byName.values()) {
      if (entry.state === 'waiting') this.#wait(entry);
    }
  }

  #dropLater(which: (entry: NearDelay) => boolean): number | undefined {
    const isIt = (entry: NearDelay) => entry.state === 'waiting' && which(entry);
    const dues: number[] = [];
    for (const entry of this.#byName.values()) if (isIt(entry)) dues.push(entry.dueMs);
    const sorted = Float64Array.from(dues).sort();
    const cut = sorted[sorted.length >>> 1];
    if (cut !== undefined) this.dropIdle((entry) => isIt(entry) && entry.dueMs >= cut);
    return cut;
  }

  #count({ topic }: NearDelay, entries: number, bytes: number): void {
    const held = this.#topics.get(topic) ?? { entries: 0, bytes: 0 };
    held.entries += entries;
    held.bytes += bytes;
    this.#bytes += bytes;
    if (held.entries === 0) this.#topics.delete(topic);
    else this.#topics.set(topic, held);
  }

  /** What a topic has, in shares. */
  #shareOf(topic: string): number {
    const { entries, bytes } = this.#topics.get(topic) ?? { entries: 0, bytes: 0 };
    const { entriesMax, bytesMax } = this.limits;
    const freeEntries = Math.max(1, entriesMax - this.#byName.size);
    const freeBytes = Math.max(1, bytesMax - this.#bytes);
    return Math.max(entries / freeEntries, bytes / freeBytes);
  }

  #wait(entry: NearDelay): void {
    entry.state = 'waiting';
    entry.handle = this.#wheel.insert(entry.slot, entry.dueMs);
  }

  #unwind(entry: NearDelay): void {
    if (entry.handle !== 0) this.#wheel.cancel(entry.handle);
    entry.handle = 0;
  }

  #newWheel(startMs: number): TimingWheel {
    return new TimingWheel({ startMs, capacity: 2 ** 31 - 65_536 });
  }
}

/**
 * Whether a record of its id only takes its place, and it goes on: while a command for it is on its
 * way it must not fire, and the same message again, by a resend or by its owner, fires once.
 */
export function goesOn(entry: NearDelay, { id, ends }: DelayRecord, dueMs: number): boolean {
  if (entry.state === 'held') return true;
  const isSame = entry.dueMs === dueMs && (isAlone(id) || ends !== undefined);
  return isSame && entry.state !== 'waiting';
}
