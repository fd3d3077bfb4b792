import assert from 'node:assert';
import { CHUNK_SEQUENCES } from '../offsets/bits.ts';
import type { OffsetMerger } from '../offsets/offset-merger.ts';

/** What the ledger knows of a batch that holds unconfirmed messages. */
export interface LedgerBatch {
  readonly firstSequence: number;
  readonly messages: number;
  /** Header and payload. */
  readonly bytes: number;
  readonly acceptedMs: number;
  /** Messages that are not confirmed. */
  left: number;
}

/** Messages that were accepted at one time are confirmed. */
export type NoteConfirmed = (acceptedMs: number, messages: number) => void;

/**
 * Batches in ascending order. One without unconfirmed messages stays while others before it have
 * some; those in front of all that have are cut off, many at once.
 */
interface Page {
  readonly batches: LedgerBatch[];
  /** Batches in front that have none. */
  done: number;
  alive: number;
}

/** So many batches that are done are cut off a page at once. */
const CUT_BATCHES = 256;

/** Batches that are kept in memory beside those that were read for sending. */
const TAIL_BATCHES_MAX = 65_536;

/**
 * Which messages are confirmed, and which batches have become free by it. Batches appended
 * beyond a bound are left to the disk and known again when they are read for sending: an outage
 * must not fill the memory. Pure.
 */
export class BatchLedger {
  readonly merger: OffsetMerger;
  /** Batches by the chunk of sequences in which they begin. */
  readonly #pages = new Map<number, Page>();
  #known = 0;
  #last: LedgerBatch | undefined;
  /** Fully confirmed, not yet deleted. */
  #free: LedgerBatch[] = [];
  /** Confirmed outside the known batches, `[from, to)`. */
  #coldFrom = Number.POSITIVE_INFINITY;
  #coldTo = 0;
  liveBytes = 0;
  liveBatches = 0;

  constructor(merger: OffsetMerger) {
    this.merger = merger;
  }

  /** Counts a batch that is on the disk; known while there is room for it. */
  appended(batch: LedgerBatch): void {
    this.count(batch.bytes);
    if (this.#known < TAIL_BATCHES_MAX) this.#add(batch);
  }

  /** Counts a batch without knowing it. */
  count(bytes: number): void {
    this.liveBytes += bytes;
    this.liveBatches++;
  }

  /** Knows a batch that was read from the disk; returns how many of it are not confirmed. */
  loaded(batch: Omit<LedgerBatch, 'left'>): number {
    const known = this.find(batch.firstSequence);
    if (known !== undefined) return known.left;
    const { merger } = this;
    const left = batch.messages - merger.countConfirmed(batch.firstSequence, batch.messages);
    if (left > 0) this.#add({ ...batch, left });
    return left;
  }

  /**
   * Returns how many of the run were not confirmed before. `note` hears, by batch, when they were
   * accepted and how many; it does not hear of those that only the disk knows.
   */
  confirm(first: number, count: number, note?: NoteConfirmed): number {
    const end = first + count;
    let fresh = 0;
    for (let at = first; at < end; ) {
      const batch = this.find(at);
      const to = batch === undefined ? at + 1 : Math.min(end, batch.firstSequence + batch.messages);
      const set = this.merger.confirm(at, to - at);
      fresh += set;
      if (set > 0) {
        if (batch === undefined) this.#noteCold(at);
        else {
          note?.(batch.acceptedMs, set);
          this.#took(batch, set);
        }
      }
      at = to;
    }
    return fresh;
  }

  /** The known batch that holds a sequence. */
  find(sequence: number): LedgerBatch | undefined {
    const last = this.#last;
    if (last !== undefined && holds(last, sequence)) return last;
    const page = Math.floor(sequence / CHUNK_SEQUENCES);
    // A batch has at most 64 Ki messages, so it begins in this page or in the one before.
    const found =
      search(this.#pages.get(page), sequence) ?? search(this.#pages.get(page - 1), sequence);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** Puts a fully confirmed batch among those to be deleted. */
  release(batch: LedgerBatch): void {
    this.#free.push(batch);
    this.liveBytes -= batch.bytes;
    this.liveBatches--;
  }

  /** Hands over the batches to be deleted. */
  takeFree(): LedgerBatch[] {
    const free = this.#free;
    this.#free = [];
    return free;
  }

  /** Batches to be deleted that nobody has taken yet. */
  get free(): readonly LedgerBatch[] {
    return this.#free;
  }

  /** Hands over the range in which unknown batches were confirmed. */
  takeCold(): { from: number; to: number } | undefined {
    if (this.#coldTo === 0) return undefined;
    const range = { from: this.#coldFrom, to: this.#coldTo };
    this.#coldFrom = Number.POSITIVE_INFINITY;
    this.#coldTo = 0;
    return range;
  }

  #noteCold(sequence: number): void {
    this.#coldFrom = Math.min(this.#coldFrom, sequence);
    this.#coldTo = Math.max(this.#coldTo, sequence + 1);
  }

  #took(batch: LedgerBatch, count: number): void {
    batch.left -= count;
    assert(batch.left >= 0, 'more confirmed than the batch holds');
    if (batch.left > 0) return;
    this.#known--;
    const number = Math.floor(batch.firstSequence / CHUNK_SEQUENCES);
    const page = this.#pages.get(number);
    assert(page !== undefined, 'the ledger lost a page');
    page.alive--;
    if (page.alive === 0) this.#pages.delete(number);
    else cutDone(page);
    this.release(batch);
  }

  #add(batch: LedgerBatch): void {
    const number = Math.floor(batch.firstSequence / CHUNK_SEQUENCES);
    const page = this.#pages.get(number) ?? { batches: [], done: 0, alive: 0 };
    if (page.alive === 0) this.#pages.set(number, page);
    this.#known++;
    page.alive++;
    const { batches } = page;
    let at = batches.length;
    while (at > 0 && (batches[at - 1]?.firstSequence ?? 0) > batch.firstSequence) at--;
    if (at === batches.length) batches.push(batch);
    else batches.splice(at, 0, batch);
    page.done = Math.min(page.done, at);
  }
}

function holds(batch: LedgerBatch, sequence: number): boolean {
  return sequence >= batch.firstSequence && sequence < batch.firstSequence + batch.messages;
}

function cutDone(page: Page): void {
  const { batches } = page;
  while (batches[page.done]?.left === 0) page.done++;
  if (page.done < CUT_BATCHES) return;
  batches.splice(0, page.done);
  page.done = 0;
}

/** Index of the last batch that begins at or before a sequence, -1 when none does. */
function indexOf(batches: readonly LedgerBatch[], sequence: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((batches[middle]?.firstSequence ?? 0) <= sequence) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function search(page: Page | undefined, sequence: number): LedgerBatch | undefined {
  if (page === undefined) return undefined;
  const batch = page.batches[indexOf(page.batches, sequence)];
  return batch !== undefined && holds(batch, sequence) ? batch : undefined;
}
