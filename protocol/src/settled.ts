import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, ErrorCode } from './generated.ts';
import { malformed } from './protocol-error.ts';

const FAILURE_BYTES = 6;

// [P-12.10] settled := failed:u16 failure{failed} owner*    answers ACK, NACK, EXTEND and COMMIT
//           failure := entry:u16 index:u16 code:u16 (≠ 0)   entry: its place in the request, from 0
//           owner   := entry:u16 nodeLength:u8 node         of an entry that failed with NOT_OWNER

/** Writes the answer that everything asked was done. */
export function encodeSettled(writer: FrameWriter, opcode: number, correlationId: number): void {
  writer.begin(opcode | ANSWER, 0, 0, correlationId);
  writer.u16(0);
  writer.end();
}

/**
 * Begins an answer with failures: then `writeSettleFailure` each, then `endSettleFailures` with
 * what this returned, then `writeSettleOwner`s, then `writer.end()`.
 */
export function beginSettled(writer: FrameWriter, opcode: number, correlationId: number): number {
  writer.begin(opcode | ANSWER, 0, 0, correlationId);
  const at = writer.length;
  writer.u16(0);
  return at;
}

export function writeSettleFailure(
  writer: FrameWriter,
  entry: number,
  index: number,
  code: number,
): void {
  writer.u16(entry);
  writer.u16(index);
  writer.u16(code);
}

export function endSettleFailures(writer: FrameWriter, at: number): void {
  writer.patchU16(at, (writer.length - at - 2) / FAILURE_BYTES);
}

/** Names the node to ask in place of this one, at most 255 bytes. */
export function writeSettleOwner(writer: FrameWriter, entry: number, node: string): void {
  writer.u16(entry);
  writer.u8(Buffer.byteLength(node));
  writer.utf8(node);
}

/** Walks an answer: `reset`, then `while (next())` read `entry`, `index` and `code`. */
export class SettleFailures {
  /** How many messages were not settled. */
  failed = 0;
  entry = 0;
  index = 0;
  code: number = ErrorCode.OK;
  #body: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  readonly #owners = new Map<number, string>();

  /** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
  reset(frame: Frame): void {
    const what = 'answer to ACK';
    checkFlags(frame.flags, 0, what);
    const body = frame.body;
    const reader = new BodyReader(body, what);
    this.failed = reader.u16('failed');
    this.#body = body;
    this.#at = 2;
    this.#end = 2 + FAILURE_BYTES * this.failed;
    this.#owners.clear();
    reader.bytes(FAILURE_BYTES * this.failed, 'failures');
    while (reader.left > 0) {
      const entry = reader.u16('entry');
      this.#owners.set(entry, reader.text(reader.u8('nodeLength'), 'node'));
    }
  }

  next(): boolean {
    const at = this.#at;
    if (at >= this.#end) return false;
    this.entry = this.#body.readUInt16BE(at);
    this.index = this.#body.readUInt16BE(at + 2);
    this.code = this.#body.readUInt16BE(at + 4);
    if (this.code === ErrorCode.OK) throw malformed('answer to ACK: a failure has code 0');
    this.#at = at + FAILURE_BYTES;
    return true;
  }

  /** The node that owns an entry's partition, when the answer names it. */
  owner(entry: number): string | undefined {
    return this.#owners.get(entry);
  }
}
