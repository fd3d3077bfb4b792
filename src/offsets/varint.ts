import { coded } from '../base/errors.ts';

// varint := 7 bits a byte, the low ones first; the top bit says that more follow. Below 2^53.

/** Writes a varint; returns the position after it. `bytes` must have 8 bytes of room. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let to = at;
  while (rest >= 0x80) {
    bytes[to++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[to++] = rest;
  return to;
}

/** Reads varints and bytes one after the other. @throws MALFORMED_MAP beyond the end */
export class VarintReader {
  at: number;
  readonly end: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
    this.end = bytes.length;
  }

  next(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined || scale > 2 ** 49) throw mapFault('a number ends too early');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
    }
    if (!Number.isSafeInteger(value)) throw mapFault('a number is above 2^53 - 1');
    return value;
  }
}

/** What is wrong with an ack map or a commit's metadata. */
export function mapFault(words: string): Error {
  return coded('MALFORMED_MAP', `not an ack map: ${words}`);
}
