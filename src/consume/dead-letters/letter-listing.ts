import type { DeadFilter, DeadLetter } from '../../../protocol/src/dead-letters.ts';
import { limits } from '../../base/limits.ts';
import { matches, shownIdOf } from './letter-filter.ts';
import type { Letter, LetterWalk } from './letter-walk.ts';

/** A place in a listing: behind the last letter that was given. */
interface Place {
  readonly index: number;
  readonly partition: number;
  readonly offset: number;
}

/** Of a page, without its letters; of a letter, without its texts, key and value. */
const PAGE_BYTES = 256;
const LETTER_BYTES = 512;

const CURSOR = /^\d+\.(\d+)\.(\d+)\.(\d+)$/;

/**
 * A listing of dead letters that is gone on with page by page. It remembers what it has met, so
 * that copies are told over pages; one that was forgotten meanwhile begins again, and passes over
 * what was given.
 */
export class LetterListing {
  readonly #walks: readonly LetterWalk[];
  readonly #filter: DeadFilter;
  readonly #roomBytes: number;
  #index = 0;
  #rest: Letter[] = [];
  #after: Place;

  /**
   * @param cursor that of the page before, when the listing itself is not there any more
   * @param frameBytesMax what a page must fit into
   */
  constructor(
    walks: readonly LetterWalk[],
    filter: DeadFilter,
    cursor: string | undefined,
    frameBytesMax: number,
  ) {
    this.#walks = walks;
    this.#filter = filter;
    this.#roomBytes = frameBytesMax - PAGE_BYTES;
    const [, index = 0, partition = 0, next = 0] = CURSOR.exec(cursor ?? '') ?? [];
    this.#after = { index: Number(index), partition: Number(partition), offset: Number(next) - 1 };
  }

  /** Where the next page goes on, as text; `serial` makes it the listing's own. */
  cursor(serial: number): string {
    const { index, partition, offset } = this.#after;
    return `${serial}.${index}.${partition}.${offset + 1}`;
  }

  /**
   * The next letters; `isDone` when there are no more. With `values` a letter has key and value,
   * unless they fit no frame. @throws BACKEND_UNAVAILABLE
   */
  async page(limit: number, values: boolean): Promise<{ messages: DeadLetter[]; isDone: boolean }> {
    const messages: DeadLetter[] = [];
    const pageBytesMax = Math.min(limits.deadPageBytesMax, this.#roomBytes);
    let bytes = 0;
    for (let reads = 0; ; ) {
      const letter = this.#rest[0];
      if (letter === undefined) {
        if (reads === limits.deadPageReadsMax) return { messages, isDone: false };
        reads += 1;
        if (!(await this.#read())) return { messages, isDone: true };
        continue;
      }
      const whole = values && bytesOf(letter, true) <= this.#roomBytes;
      bytes += bytesOf(letter, whole);
      const isFull = messages.length === limit || bytes > pageBytesMax;
      if (isFull && messages.length > 0) return { messages, isDone: false };
      this.#rest.shift();
      this.#after = { index: this.#index, partition: letter.partition, offset: letter.offset };
      messages.push(shownLetter(letter, whole));
    }
  }

  /** False when everything was read. */
  async #read(): Promise<boolean> {
    const walk = this.#walks[this.#index];
    if (walk === undefined) return false;
    const page = await walk.next();
    if (page === undefined) this.#index += 1;
    else {
      this.#rest = page.letters.filter(
        (letter) => this.#isBehind(letter) && matches(this.#filter, letter),
      );
    }
    return true;
  }

  #isBehind({ partition, offset }: Letter): boolean {
    const { index, partition: lastPartition, offset: lastOffset } = this.#after;
    if (this.#index !== index) return this.#index > index;
    if (partition !== lastPartition) return partition > lastPartition;
    return offset > lastOffset;
  }
}

/** Most that a letter takes in a page. */
function bytesOf({ dead, key, value }: Letter, values: boolean): number {
  const texts = Buffer.byteLength(dead.reason) + Buffer.byteLength(dead.topic);
  return LETTER_BYTES + texts + (values ? (key?.length ?? 0) + (value?.length ?? 0) : 0);
}

function shownLetter(letter: Letter, values: boolean): DeadLetter {
  const { cluster, partition, offset, dead, key, value } = letter;
  return {
    cluster,
    partition,
    offset,
    id: shownIdOf(letter),
    cause: dead.cause,
    reason: dead.reason,
    attempts: dead.attempts,
    origin: {
      cluster: dead.cluster,
      topic: dead.topic,
      partition: dead.partition,
      offset: dead.offset,
    },
    firstFailureMs: dead.firstFailureMs,
    lastFailureMs: dead.lastFailureMs,
    fingerprint: dead.fingerprint,
    valueBytes: value?.length ?? 0,
    ...(values ? { value, ...(key === null ? {} : { key }) } : {}),
  };
}
