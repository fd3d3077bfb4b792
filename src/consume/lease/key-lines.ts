interface Line {
  /** Offsets that wait, in order; those before `head` are gone. */
  readonly offsets: number[];
  head: number;
  /** Messages of the key that are out: several only when owners before had leased them. */
  out: number;
}

/**
 * The keys of a partition that have a message out, each with the line of those behind it. A key is
 * known by its hash: two keys with one hash wait for each other, which harms nobody.
 */
export class KeyLines {
  readonly #lines = new Map<number, Line>();
  readonly #heldMax: number;
  #held = 0;

  /** `heldMax`: messages that may wait behind one key. */
  constructor(heldMax: number) {
    this.#heldMax = heldMax;
  }

  /** Keys that have a message out. */
  get size(): number {
    return this.#lines.size;
  }

  /** Messages that wait for their key. */
  get held(): number {
    return this.#held;
  }

  isBusy(key: number): boolean {
    return this.#lines.has(key);
  }

  /** A message of the key goes out, or is out already. */
  begin(key: number): void {
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, { offsets: [], head: 0, out: 1 });
    else line.out++;
  }

  /** Puts a message behind its key; false when too many wait there. */
  hold(key: number, offset: number): boolean {
    const line = this.#lines.get(key) as Line;
    if (line.offsets.length - line.head >= this.#heldMax) return false;
    line.offsets.push(offset);
    this.#held++;
    return true;
  }

  /** A message that was out is finished: the next offset of the key, -1 when none may go. */
  next(key: number): number {
    const line = this.#lines.get(key);
    if (line === undefined || --line.out > 0) return -1;
    if (line.head === line.offsets.length) {
      this.#lines.delete(key);
      return -1;
    }
    const offset = line.offsets[line.head++] as number;
    this.#held--;
    line.out = 1;
    if (line.head >= 64 && line.head * 2 >= line.offsets.length) {
      line.offsets.splice(0, line.head);
      line.head = 0;
    }
    return offset;
  }
}
