import type { FrameWriter } from './frame-writer.ts';
import { PROTOCOL_LIMIT } from './generated.ts';
import { malformed } from './protocol-error.ts';

/** Bytes of a lease token: opaque to everybody but the nodes that share its secret. */
export const TOKEN_BYTES = PROTOCOL_LIMIT.tokenBytes;
const HEAD_BYTES = TOKEN_BYTES + 2;

// [P-12.9] entry := token:48 count:u16 index:u16{count}      count ≥ 1; at most 65,535 in a frame

/**
 * Walks the entries of ACK, NACK and EXTEND without allocating: after `reset`, `while (next())`
 * read `tokenAt` and `count`, and `index(i)` for 0 ≤ i < count. Positions are in `bytes`, which is
 * borrowed from the frame. Everything is verified by `reset`, so that a frame is taken whole or
 * not at all.
 */
export class SettleEntries {
  bytes: Buffer = Buffer.alloc(0);
  /** Of the entry that was read last, from 0: what the answer calls it by. */
  entry = -1;
  /** Where its token begins. */
  tokenAt = 0;
  /** How many messages it names. */
  count = 0;
  /** Messages that the whole frame names. */
  messages = 0;
  #at = 0;

  /** Begins at `at`; the entries fill the rest of `bytes`. @throws ProtocolError MALFORMED */
  reset(bytes: Buffer, at: number, what: string): void {
    this.bytes = bytes;
    this.entry = -1;
    this.#at = at;
    this.messages = 0;
    if (at === bytes.length) throw malformed(`${what}: it names no message`);
    for (let next = at; next < bytes.length; ) {
      if (bytes.length - next < HEAD_BYTES) throw malformed(`${what}: ends inside an entry`);
      const count = bytes.readUInt16BE(next + TOKEN_BYTES);
      if (count === 0) throw malformed(`${what}: an entry names no message`);
      next += HEAD_BYTES + 2 * count;
      if (next > bytes.length) throw malformed(`${what}: ends inside an entry`);
      this.messages += count;
    }
    if (this.messages > PROTOCOL_LIMIT.settleMessagesMax) {
      throw malformed(`${what}: it names more than ${PROTOCOL_LIMIT.settleMessagesMax} messages`);
    }
  }

  next(): boolean {
    const at = this.#at;
    if (at >= this.bytes.length) return false;
    this.entry += 1;
    this.tokenAt = at;
    this.count = this.bytes.readUInt16BE(at + TOKEN_BYTES);
    this.#at = at + HEAD_BYTES + 2 * this.count;
    return true;
  }

  /** The i-th index of the entry. */
  index(i: number): number {
    return this.bytes.readUInt16BE(this.tokenAt + HEAD_BYTES + 2 * i);
  }
}

/** Writes one entry: messages `indexes[from]` to `indexes[to - 1]` of a token's run. */
export function writeSettleEntry(
  writer: FrameWriter,
  token: Uint8Array,
  indexes: Uint16Array,
  from = 0,
  to = indexes.length,
): void {
  writer.bytes(token);
  writer.u16(to - from);
  writer.u16s(indexes, from, to);
}

/** Bytes of an entry of `count` messages. */
export function settleEntryBytes(count: number): number {
  return HEAD_BYTES + 2 * count;
}
