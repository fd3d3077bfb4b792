import assert from 'node:assert';

/*
 * A timing wheel keeps things that are due later in a few rings of lists, so that putting one in,
 * taking it out and moving it cost the same whether there are ten of them or ten million.
 *
 * One ring would do if all were due soon. Level 0 is that ring: 512 slots of 1 ms, and what is due
 * at tick T lies in slot T mod 512. It reaches 512 ticks ahead. What is due later goes to a ring
 * whose slots are 256 times as long: level 1 has slots of 256 ms, level 2 of 65.5 s, level 3 of
 * 4.7 h, level 4 of 50 days. The rule for all of them is the same: with s = floor(due / length of
 * a slot) and b = floor(now / length of a slot), the entry goes to the lowest level where
 * s - b < 512, into slot s mod 512. Level 4 so reaches 70 years; what is later still waits in one
 * list, the overflow, which is looked through whenever level 4 comes to a new slot.
 *
 *   level 0   512 x 1 ms      reaches 0.5 s
 *   level 1   512 x 256 ms            131 s
 *   level 2   512 x 65.5 s            9.3 h
 *   level 3   512 x 4.66 h           99 days
 *   level 4   512 x 49.7 days        70 years
 *
 * A slot of an upper level is emptied into the levels below before time enters it: a cascade. Two
 * things keep a cascade from making anything late. First, a ring has twice as many slots as one
 * slot of the level above is long, so the slot *after* the present one already fits below; it is
 * emptied in the background, in slices, during the whole present slot: a slot of level 2 has 65 s
 * for it. Second, a slice counts what it touches and stops at the caller's budget, and the clock
 * of the wheel never passes a slot that is not empty yet.
 *
 * Worked example. The wheel is at tick 1,000.
 *
 *   insert A due at 1,300: level 0, since 1,300 - 1,000 < 512; slot 1,300 mod 512 = 276.
 *   insert B due at 5,000: level 0 does not take it, 4,000 ms ahead. Level 1: s = floor(5,000 /
 *     256) = 19, b = floor(1,000 / 256) = 3, 19 - 3 < 512: slot 19.
 *   insert C due at 200,000: level 1 would be s = 781, 781 - 3 = 778: too far. Level 2: s = 3,
 *     b = 0: slot 3.
 *
 *   advance(1,299) fires nothing: A's slot is not reached. advance(1,300) fires A.
 *   At tick 4,608 level 1 comes to slot 18, so slot 19 is the next one: the background takes B
 *     out of it and puts it where the rule now says: level 0, slot 5,000 mod 512 = 392.
 *   advance(5,000) fires B, which was touched twice in all: put in, cascaded.
 *   At tick 131,072 level 2 comes to slot 2, so C leaves slot 3 for level 1, slot 781 mod 512 =
 *     269; at tick 199,680 (slot 780 of level 1) it goes on to level 0, and fires at 200,000.
 *
 * If the process slept and advance(500,000) is called at tick 1,000, the wheel does not walk the
 * ticks: a bitmap per level says which slots hold something, so it jumps from one to the next: to
 * 1,300 (A), to the start of slot 19 of level 1 (its cascade is now urgent), to 5,000 (B), and so
 * on. Everything fires in the order of its tick; inside a tick the order is not promised.
 *
 * An entry is five 32-bit words in one piece, so that touching it is one cache miss:
 *
 *   next | prev | value | due, low 32 bits | due, high bits           20 bytes
 *
 * Entries lie in chunks of 64 Ki, added as needed and never copied. A slot is a circular list with
 * a sentinel of the same form; the sentinels are the first entries, so taking an entry out needs
 * to know nothing about its slot, except when it was the last: then both its neighbours are the
 * sentinel, whose number is the slot's, and the bit in the bitmap goes.
 *
 * Time enters only through advance(). Fractions are rounded so that nothing is early: a due time
 * up, the present down. A clock that steps back fires nothing until it is where it was; whoever
 * wants otherwise builds a new wheel.
 */

const LEVELS = 5;
const SLOTS = 512;
const SLOT_MASK = SLOTS - 1;
/** A slot of a level is so many slots of the level below. */
const FACTOR = 256;
const WORDS_PER_RING = SLOTS / 32;
const OVERFLOW = LEVELS * SLOTS;
/** The overflow that was not looked through yet since level 4 moved on. */
const SCANNED = OVERFLOW + 1;
const SENTINELS = OVERFLOW + 2;

const CHUNK_SHIFT = 16;
const CHUNK_ENTRIES = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_ENTRIES - 1;
const ENTRY_WORDS = 5;
const NEXT = 0;
const PREV = 1;
const VALUE = 2;
const DUE_LOW = 3;
const DUE_HIGH = 4;
const NONE = -1;
const TWO_32 = 2 ** 32;
/** Later than this after the start, in ms, is kept as this: 142,000 years. */
const TICK_MAX = 2 ** 52;
/** Some 0.5 ms, when every entry is a few cache misses. */
const BUDGET = 1_000;

export interface TimingWheelOptions {
  /** The present, in ms of whatever clock the caller uses throughout. */
  readonly startMs: number;
  /** Entries it may hold; a bound, not a reservation. At most 2^31 - 2^16. */
  readonly capacity: number;
}

/** Entries with a due time, fired in the order of their ticks; never early. 20 bytes an entry. */
export class TimingWheel {
  readonly capacity: number;
  readonly #startMs: number;
  readonly #chunks: Int32Array[] = [];
  /** A bit per slot that holds something, level after level. */
  readonly #occupied = new Int32Array(LEVELS * WORDS_PER_RING);
  #tick = 0;
  #size = 0;
  #free = NONE;
  /** Entries that were in use at least once. */
  #touched = SENTINELS;
  #scannedSlot = 0;

  constructor(options: TimingWheelOptions) {
    assert(options.capacity > 0 && options.capacity <= 2 ** 31 - CHUNK_ENTRIES);
    this.capacity = options.capacity;
    this.#startMs = Math.floor(options.startMs);
    this.#chunks.push(new Int32Array(CHUNK_ENTRIES * ENTRY_WORDS));
    for (let slot = 0; slot < SENTINELS; slot++) {
      this.#set(slot, NEXT, slot);
      this.#set(slot, PREV, slot);
    }
  }

  /** Entries that wait. */
  get size(): number {
    return this.#size;
  }

  /** Up to where time was advanced, in ms. */
  get nowMs(): number {
    return this.#startMs + this.#tick;
  }

  /** Bytes of the entries' memory, which does not shrink. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_ENTRIES * ENTRY_WORDS * 4;
  }

  /**
   * Puts one in; due in the past is due at the present tick. Returns its handle, a u32 that is
   * never 0 and names it until it fires or is cancelled; after that the number may name another.
   * @param value a u32 that `onDue` is given
   */
  insert(value: number, dueMs: number): number {
    assert(this.#size < this.capacity, 'the wheel is full');
    let handle = this.#free;
    if (handle !== NONE) this.#free = this.#get(handle, NEXT);
    else {
      handle = this.#touched++;
      if (handle >>> CHUNK_SHIFT === this.#chunks.length) {
        this.#chunks.push(new Int32Array(CHUNK_ENTRIES * ENTRY_WORDS));
      }
    }
    this.#size++;
    this.#set(handle, VALUE, value);
    this.#place(handle, this.#tickOf(dueMs));
    return handle;
  }

  /** Takes one out. False when nothing waits under that handle. */
  cancel(handle: number): boolean {
    if (!this.has(handle)) return false;
    this.#unlink(handle);
    this.#release(handle);
    return true;
  }

  /** Gives one that waits another due time. The handle stays. */
  move(handle: number, dueMs: number): void {
    assert(this.has(handle), 'nothing waits under this handle');
    this.#unlink(handle);
    this.#place(handle, this.#tickOf(dueMs));
  }

  /** Whether anything waits under that handle. */
  has(handle: number): boolean {
    return handle >= SENTINELS && handle < this.#touched && this.#get(handle, PREV) !== NONE;
  }

  /**
   * Fires what is due by `nowMs`, tick by tick. It does at most `budget` things: fires an entry,
   * cascades one, or goes to the next tick that has some. `onDue` may insert, cancel and move.
   * @returns true when there is more to do by `nowMs`: call it again soon
   */
  advance(
    nowMs: number,
    onDue: (value: number, dueMs: number) => void,
    budget: number = BUDGET,
  ): boolean {
    const target = Math.min(Math.floor(nowMs - this.#startMs), TICK_MAX);
    if (!(target >= this.#tick)) return false;
    let left = budget;
    for (;;) {
      left = this.#settle(left);
      if (left <= 0) return true;
      left = this.#fire(left, onDue);
      if (left <= 0) return true;
      if (this.#tick >= target) break;
      this.#tick = Math.min(this.#nextEvent(), target);
      left--;
    }
    this.#prepare(left);
    return false;
  }

  /**
   * When `advance` is next of use, in ms: `nowMs` when something is due, else the next entry's due
   * time or an earlier moment at which something can be prepared. Infinity when nothing waits.
   */
  nextWakeMs(): number {
    if (this.#size === 0) return Number.POSITIVE_INFINITY;
    let wake = this.#isEmpty(OVERFLOW) ? Number.POSITIVE_INFINITY : this.#topSlotEnd();
    let length = 1;
    for (let level = 0; level < LEVELS; level++, length *= FACTOR) {
      const present = level * SLOTS + ((this.#tick / length) & SLOT_MASK);
      if (this.#isOccupied(present)) return this.nowMs;
      // One slot before its own, the background may begin.
      const early = level === 0 ? 0 : length;
      wake = Math.min(wake, this.#nextAt(level, length) - early);
    }
    if (!this.#isEmpty(SCANNED)) return this.nowMs;
    return this.#startMs + Math.max(wake, this.#tick + 1);
  }

  #tickOf(dueMs: number): number {
    assert(!Number.isNaN(dueMs), 'a due time is a number');
    return Math.min(Math.max(Math.ceil(dueMs - this.#startMs), -TICK_MAX), TICK_MAX);
  }

  /** Empties the slots of the upper levels that time has entered; what is left of the budget. */
  #settle(budget: number): number {
    let left = budget;
    let length = FACTOR ** (LEVELS - 1);
    const topSlot = Math.floor(this.#tick / length);
    if (topSlot !== this.#scannedSlot) {
      this.#scannedSlot = topSlot;
      this.#spliceOverflow();
    }
    if (!this.#isEmpty(SCANNED)) left = this.#cascade(SCANNED, left);
    for (let level = LEVELS - 1; level > 0 && left > 0; level--) {
      const slot = level * SLOTS + ((this.#tick / length) & SLOT_MASK);
      if (this.#isOccupied(slot)) left = this.#cascade(slot, left);
      length /= FACTOR;
    }
    return left;
  }

  /** Empties the slots that come next, as far as the budget goes. */
  #prepare(budget: number): void {
    let left = budget;
    let length = 1;
    for (let level = 1; level < LEVELS && left > 0; level++) {
      length *= FACTOR;
      const slot = level * SLOTS + ((this.#tick / length + 1) & SLOT_MASK);
      if (this.#isOccupied(slot)) left = this.#cascade(slot, left);
    }
  }

  #cascade(slot: number, budget: number): number {
    let left = budget;
    while (left > 0) {
      const handle = this.#get(slot, NEXT);
      if (handle === slot) break;
      this.#unlink(handle);
      this.#place(handle, this.#dueTick(handle));
      left--;
    }
    return left;
  }

  #fire(budget: number, onDue: (value: number, dueMs: number) => void): number {
    let left = budget;
    const slot = this.#tick & SLOT_MASK;
    while (left > 0) {
      const handle = this.#get(slot, NEXT);
      if (handle === slot) break;
      const value = this.#get(handle, VALUE) >>> 0;
      const dueMs = this.#startMs + this.#dueTick(handle);
      this.#unlink(handle);
      this.#release(handle);
      left--;
      onDue(value, dueMs);
    }
    return left;
  }

  /** The next tick after the present one at which a slot that holds something begins. */
  #nextEvent(): number {
    let next = this.#nextAt(0, 1);
    let length = 1;
    for (let level = 1; level < LEVELS; level++) {
      length *= FACTOR;
      next = Math.min(next, this.#nextAt(level, length));
    }
    return this.#isEmpty(OVERFLOW) ? next : Math.min(next, this.#topSlotEnd());
  }

  /** The start, in ticks, of a level's next slot after the present one that holds something. */
  #nextAt(level: number, length: number): number {
    const present = Math.floor(this.#tick / length);
    const first = (present + 1) & SLOT_MASK;
    const ring = level * WORDS_PER_RING;
    // The first word is looked at twice: from `first` on, and at the end up to it.
    for (let i = 0; i <= WORDS_PER_RING; i++) {
      const at = ((first >>> 5) + i) & (WORDS_PER_RING - 1);
      let word = this.#occupied[ring + at] as number;
      if (i === 0) word &= -1 << (first & 31);
      else if (i === WORDS_PER_RING) word &= ~(-1 << (first & 31));
      if (word === 0) continue;
      const slot = at * 32 + 31 - Math.clz32(word & -word);
      return (present + 1 + ((slot - first) & SLOT_MASK)) * length;
    }
    return Number.POSITIVE_INFINITY;
  }

  #topSlotEnd(): number {
    const length = FACTOR ** (LEVELS - 1);
    return (Math.floor(this.#tick / length) + 1) * length;
  }

  #place(handle: number, dueTick: number): void {
    this.#set(handle, DUE_LOW, dueTick | 0);
    this.#set(handle, DUE_HIGH, Math.floor(dueTick / TWO_32));
    let s = Math.max(dueTick, this.#tick);
    let b = this.#tick;
    for (let level = 0; level < LEVELS; level++) {
      if (s - b < SLOTS) {
        const slot = s & SLOT_MASK;
        const word = level * WORDS_PER_RING + (slot >>> 5);
        this.#occupied[word] = (this.#occupied[word] as number) | (1 << (slot & 31));
        this.#append(level * SLOTS + slot, handle);
        return;
      }
      s = Math.floor(s / FACTOR);
      b = Math.floor(b / FACTOR);
    }
    this.#append(OVERFLOW, handle);
  }

  #append(slot: number, handle: number): void {
    const last = this.#get(slot, PREV);
    this.#set(handle, NEXT, slot);
    this.#set(handle, PREV, last);
    this.#set(last, NEXT, handle);
    this.#set(slot, PREV, handle);
  }

  #unlink(handle: number): void {
    const next = this.#get(handle, NEXT);
    const prev = this.#get(handle, PREV);
    this.#set(prev, NEXT, next);
    this.#set(next, PREV, prev);
    if (next === prev && next < OVERFLOW) {
      const word = next >>> 5;
      this.#occupied[word] = (this.#occupied[word] as number) & ~(1 << (next & 31));
    }
  }

  #release(handle: number): void {
    this.#set(handle, PREV, NONE);
    this.#set(handle, NEXT, this.#free);
    this.#free = handle;
    this.#size--;
  }

  #spliceOverflow(): void {
    if (this.#isEmpty(OVERFLOW)) return;
    const first = this.#get(OVERFLOW, NEXT);
    const last = this.#get(OVERFLOW, PREV);
    const before = this.#get(SCANNED, PREV);
    this.#set(before, NEXT, first);
    this.#set(first, PREV, before);
    this.#set(last, NEXT, SCANNED);
    this.#set(SCANNED, PREV, last);
    this.#set(OVERFLOW, NEXT, OVERFLOW);
    this.#set(OVERFLOW, PREV, OVERFLOW);
  }

  #isEmpty(slot: number): boolean {
    return this.#get(slot, NEXT) === slot;
  }

  #isOccupied(slot: number): boolean {
    return (((this.#occupied[slot >>> 5] as number) >>> (slot & 31)) & 1) === 1;
  }

  #dueTick(handle: number): number {
    return this.#get(handle, DUE_HIGH) * TWO_32 + (this.#get(handle, DUE_LOW) >>> 0);
  }

  #get(handle: number, word: number): number {
    const chunk = this.#chunks[handle >>> CHUNK_SHIFT] as Int32Array;
    return chunk[(handle & CHUNK_MASK) * ENTRY_WORDS + word] as number;
  }

  #set(handle: number, word: number, value: number): void {
    const chunk = this.#chunks[handle >>> CHUNK_SHIFT] as Int32Array;
    chunk[(handle & CHUNK_MASK) * ENTRY_WORDS + word] = value;
  }
}
