const lf = 0x0a;
const cr = 0x0d;

/** Stands for a line that is longer than allowed; its bytes were dropped as they came. */
export const tooLong = Symbol('too long');

/** A line without its LF and one CR before it, or {@link tooLong}. */
export type Line = Buffer | typeof tooLong;

/**
 * Splits a byte stream into lines at LF, dropping one CR before it. An empty line is a line; what
 * follows the last LF is one too, unless it is empty. Memory is bounded by `lineBytesMax`.
 */
export class LineSplitter {
  readonly #lineBytesMax: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #isOverflowing = false;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Appends the lines that `chunk` ends to `lines`. They are slices of it: do not change it. */
  push(chunk: Buffer, lines: Line[]): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(lf, start);
      if (end === -1) break;
      lines.push(this.#isEmpty ? this.#line(chunk, start, end) : this.#join(chunk, start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** Appends the last line when the stream ended without an LF. */
  end(lines: Line[]): void {
    if (!this.#isEmpty) lines.push(this.#join(Buffer.alloc(0), 0, 0));
  }

  get #isEmpty(): boolean {
    return this.#pendingBytes === 0 && !this.#isOverflowing;
  }

  #line(bytes: Buffer, start: number, end: number): Line {
    const last = end > start && bytes[end - 1] === cr ? end - 1 : end;
    return last - start > this.#lineBytesMax ? tooLong : bytes.subarray(start, last);
  }

  #join(chunk: Buffer, start: number, end: number): Line {
    const isOverflowing = this.#isOverflowing;
    const whole = [...this.#pending, chunk.subarray(start, end)];
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#isOverflowing = false;
    if (isOverflowing) return tooLong;
    const line = Buffer.concat(whole);
    return this.#line(line, 0, line.length);
  }

  #keep(rest: Buffer): void {
    // One byte more than allowed may still be the CR that is dropped.
    if (this.#isOverflowing || this.#pendingBytes + rest.length > this.#lineBytesMax + 1) {
      this.#isOverflowing = true;
      this.#pending = [];
      this.#pendingBytes = 0;
      return;
    }
    this.#pending.push(rest);
    this.#pendingBytes += rest.length;
  }
}
