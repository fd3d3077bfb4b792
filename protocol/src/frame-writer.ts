import assert from 'node:assert';
import { writeFrameHeader } from './frame.ts';
import { ErrorCode, FRAME_HEADER_BYTES } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';

const TWO_32 = 0x1_0000_0000;
const BYTES_START = 4096;
const BYTES_MAX = 64 * 1024 * 1024;

/**
 * Writes frames back to back into one buffer that is used again and again, so that a pipeline of
 * messages costs no allocation each. `begin`, fields, `end`; then `view` or `detach`.
 * A frame that throws half way is taken back by `cancel`.
 */
export class FrameWriter {
  #bytes: Buffer;
  #at = 0;
  #frameAt = -1;
  readonly #bytesMax: number;

  /** `bytesMax` bounds all that is written before a `reset` or `detach`; default 64 MiB. */
  constructor(options: { readonly bytesStart?: number; readonly bytesMax?: number } = {}) {
    this.#bytesMax = options.bytesMax ?? BYTES_MAX;
    this.#bytes = Buffer.allocUnsafe(Math.min(options.bytesStart ?? BYTES_START, this.#bytesMax));
  }

  /** Bytes written so far, an unfinished frame included. */
  get length(): number {
    return this.#at;
  }

  /** Begins a frame; its length field is filled in by `end`. */
  begin(opcode: number, flags: number, topic: number, correlationId: number): void {
    assert(this.#frameAt < 0, 'the frame before was not ended');
    this.#room(FRAME_HEADER_BYTES);
    const header = { opcode, flags, topic, correlationId, bodyBytes: 0 };
    this.#frameAt = this.#at;
    this.#at = writeFrameHeader(this.#bytes, this.#at, header);
  }

  /** Ends the frame that was begun. */
  end(): void {
    assert(this.#frameAt >= 0, 'no frame was begun');
    this.patchU32(this.#frameAt, this.#at - this.#frameAt - 4);
    this.#frameAt = -1;
  }

  /** Takes the frame that was begun back, if any; the frames before it stay. */
  cancel(): void {
    if (this.#frameAt >= 0) this.#at = this.#frameAt;
    this.#frameAt = -1;
  }

  /** Forgets everything written; the memory stays. */
  reset(): void {
    this.#at = 0;
    this.#frameAt = -1;
  }

  /** What was written; *borrowed until the next call* of any method. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** What was written, *owned* by the caller; the writer goes on with memory of its own. */
  detach(): Buffer {
    const written = this.view();
    this.#bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.reset();
    return written;
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    this.#room(2);
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    this.#room(4);
    this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at);
  }

  /** 0 to 2^48 − 1. */
  u48(value: number): void {
    this.#room(6);
    this.#at = this.#bytes.writeUInt16BE(Math.floor(value / TWO_32), this.#at);
    this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at);
  }

  /** A u64 from a number: 0 to 2^53 − 1. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a u64 field takes 0 to 2^53 - 1');
    this.#room(8);
    this.#at = this.#bytes.writeUInt32BE(Math.floor(value / TWO_32), this.#at);
    this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at);
  }

  /** A u64 from a bigint: producer and node ids. */
  id64(value: bigint): void {
    this.#room(8);
    this.#at = this.#bytes.writeBigUInt64BE(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    // Empty native memory comes detached, and cannot be copied from.
    if (value.length === 0) return;
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Copies `source` from `from` to `to` (excluded), without a view of it. */
  copy(source: Buffer, from: number, to: number): void {
    this.#room(to - from);
    this.#at += source.copy(this.#bytes, this.#at, from, to);
  }

  /** The u16s `values[from]` to `values[to - 1]`. */
  u16s(values: Uint16Array, from: number, to: number): void {
    this.#room(2 * (to - from));
    let at = this.#at;
    for (let i = from; i < to; i++) at = this.#bytes.writeUInt16BE(values[i] as number, at);
    this.#at = at;
  }

  /** UTF-8 without a length; returns the bytes written. */
  utf8(value: string): number {
    const room = value.length * 3;
    const exact = this.#at + room > this.#bytesMax ? Buffer.byteLength(value) : room;
    this.#room(exact);
    const written = this.#bytes.write(value, this.#at, 'utf8');
    this.#at += written;
    return written;
  }

  /** Overwrites four bytes written before, counted from the writer's start. */
  patchU32(at: number, value: number): void {
    this.#bytes.writeUInt32BE(value >>> 0, at);
  }

  /** Overwrites two bytes written before, counted from the writer's start. */
  patchU16(at: number, value: number): void {
    this.#bytes.writeUInt16BE(value, at);
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    if (needed > this.#bytesMax) {
      throw new ProtocolError(
        ErrorCode.FRAME_TOO_LARGE,
        `${needed} bytes are above the writer's limit of ${this.#bytesMax}`,
      );
    }
    const larger = Buffer.allocUnsafe(
      Math.min(Math.max(needed, 2 * this.#bytes.length), this.#bytesMax),
    );
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
