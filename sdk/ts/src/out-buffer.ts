import { FRAME_HEADER_BYTES } from '../../../protocol/src/generated.ts';

const FIRST_BYTES = 64 * 1024;
/** A buffer that grew beyond this for one large message is given back. */
const KEEP_BYTES = 1024 * 1024;

/**
 * The bytes of the next write. It is filled, written, and filled again when the write has ended.
 */
export class OutBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  end = 0;

  /** Makes room for `count` bytes after `end`. */
  reserve(count: number): void {
    if (this.end + count <= this.bytes.length) return;
    let size = this.bytes.length;
    while (size < this.end + count) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(grown, 0, 0, this.end);
    this.bytes = grown;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /**
   * Appends a whole frame.
   * frame := length:u32 | opcode:u8 | flags:u8 | topic:u16 | correlationId:u32 | body
   */
  frame(head: FrameHead, body: Uint8Array): void {
    this.reserve(FRAME_HEADER_BYTES + body.length);
    const { bytes, end } = this;
    bytes.writeUInt32BE(FRAME_HEADER_BYTES - 4 + body.length, end);
    bytes[end + 4] = head.opcode;
    bytes[end + 5] = head.flags;
    bytes.writeUInt16BE(head.topic, end + 6);
    bytes.writeUInt32BE(head.correlationId, end + 8);
    bytes.set(body, end + FRAME_HEADER_BYTES);
    this.end += FRAME_HEADER_BYTES + body.length;
  }

  /** Borrowed until the next change of the buffer. */
  view(): Buffer {
    return this.bytes.subarray(0, this.end);
  }

  clear(): void {
    this.end = 0;
    if (this.bytes.length > KEEP_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }
}

export interface FrameHead {
  readonly opcode: number;
  readonly flags: number;
  readonly topic: number;
  readonly correlationId: number;
}
