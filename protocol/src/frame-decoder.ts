import type { Frame } from './frame.ts';
import { checkFrameLength, readFrame } from './frame.ts';

const LENGTH_BYTES = 4;
const PARTIAL_BYTES_MIN = 4096;
const NOTHING = Buffer.alloc(0);

/**
 * Cuts a byte stream, split at any point, into frames.
 *
 * Use: `push(chunk)`, then `next()` until it gives undefined, then the next chunk. A frame that
 * lies whole in its chunk is a view of it; one that was split is put together in a buffer of its
 * own, which grows with the bytes that came, never with what a length field promises. So at most
 * `2 × frameBytesMax` bytes are held. After a ProtocolError the stream cannot be read on: every
 * further call throws the same error.
 */
export class FrameDecoder {
  /** Bound of the length field, in bytes; raised once HELLO was answered [P-2.3]. */
  frameBytesMax: number;
  #chunk: Buffer = NOTHING;
  #at = 0;
  #partial: Buffer = NOTHING;
  #partialBytes = 0;
  #failure: unknown;

  constructor(options: { readonly frameBytesMax: number }) {
    this.frameBytesMax = options.frameBytesMax;
  }

  /** Bytes held of a frame that is not whole yet. */
  get bufferedBytes(): number {
    return this.#partialBytes;
  }

  /** Hands over the next bytes; they are borrowed until `next()` has given undefined. */
  push(chunk: Buffer): void {
    // Without this a caller that leaves frames behind would lose them silently.
    // tidy-allow hot: once for such a caller's chunk, never for a message
    this.#chunk = this.#at < this.#chunk.length ? Buffer.concat([this.#rest(), chunk]) : chunk;
    this.#at = 0;
  }

  /**
   * The next whole frame, or undefined when more bytes are needed.
   * @throws ProtocolError FRAME_TOO_LARGE or MALFORMED, as soon as the length field is known.
   */
  next(): Frame | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#partialBytes > 0 ? this.#nextSplit() : this.#nextWhole();
    } catch (failure) {
      this.#failure = failure;
      this.#partial = NOTHING;
      this.#partialBytes = 0;
      throw failure;
    }
  }

  #rest(): Buffer {
    return this.#chunk.subarray(this.#at);
  }

  #nextWhole(): Frame | undefined {
    const chunk = this.#chunk;
    const at = this.#at;
    const available = chunk.length - at;
    if (available >= LENGTH_BYTES) {
      const length = chunk.readUInt32BE(at);
      checkFrameLength(length, this.frameBytesMax);
      if (available >= LENGTH_BYTES + length) {
        this.#at = at + LENGTH_BYTES + length;
        return readFrame(chunk, at);
      }
    }
    this.#take(available);
    this.#chunk = NOTHING;
    this.#at = 0;
    return undefined;
  }

  #nextSplit(): Frame | undefined {
    this.#take(LENGTH_BYTES - this.#partialBytes);
    if (this.#partialBytes < LENGTH_BYTES) return undefined;
    const length = this.#partial.readUInt32BE(0);
    checkFrameLength(length, this.frameBytesMax);
    const needed = LENGTH_BYTES + length;
    this.#take(needed - this.#partialBytes);
    if (this.#partialBytes < needed) return undefined;
    const frame = readFrame(this.#partial, 0);
    this.#partial = NOTHING;
    this.#partialBytes = 0;
    return frame;
  }

  /** Moves up to `wanted` bytes from the chunk into the partial frame. */
  #take(wanted: number): void {
    const bytes = Math.min(wanted, this.#chunk.length - this.#at);
    if (bytes <= 0) return;
    const needed = this.#partialBytes + bytes;
    if (needed > this.#partial.length) {
      const larger = Buffer.allocUnsafe(
        Math.max(needed, 2 * this.#partial.length, PARTIAL_BYTES_MIN),
      );
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    this.#chunk.copy(this.#partial, this.#partialBytes, this.#at, this.#at + bytes);
    this.#partialBytes = needed;
    this.#at += bytes;
  }
}
