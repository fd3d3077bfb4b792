import { checkFlags } from './frame.ts';
import { TAIL_RECORD_FLAGS, TailRecordFlag } from './generated.ts';
import type { MessageHeader } from './message-headers.ts';
import { readTailHeaders } from './message-headers.ts';
import type { MessageId } from './message-id.ts';
import { malformed } from './protocol-error.ts';

const RECORD_HEAD_BYTES = 17;
const ID_BYTES = 16;
const TWO_32 = 0x1_0000_0000;

// [P-7.3]; the grammar stands in tail.ts

/**
 * Walks `count` records that fill a part of a body: `start`, then `while (next())` reads `offset`,
 * `timestampMs`, and as views, made only when asked for: `key`, `value`, `headers`, `id`.
 * Everything is borrowed from the body. After the last record the end is verified.
 */
export class RecordCursor {
  offset = 0;
  timestampMs = 0;
  flags = 0;
  /** Bytes of the record that was read last, its length field included. */
  recordBytes = 0;
  readonly #what: string;
  #body: Buffer = Buffer.alloc(0);
  #at = 0;
  #stop = 0;
  #left = 0;
  #idAt = 0;
  #keyAt = 0;
  #keyEnd = 0;
  #headersAt = 0;
  #headersEnd = 0;
  #valueAt = 0;
  #end = 0;

  /** `what` names the frame in errors. */
  constructor(what: string) {
    this.#what = what;
  }

  /** Begins before the first of `count` records that fill `body` from `at` to `stop`. */
  start(body: Buffer, at: number, stop: number, count: number): void {
    this.#body = body;
    this.#at = at;
    this.#stop = stop;
    this.#left = count;
  }

  /** @throws ProtocolError MALFORMED, UNKNOWN_FLAGS */
  next(): boolean {
    const body = this.#body;
    if (this.#left === 0) {
      if (this.#at < this.#stop) throw malformed(`${this.#what}: bytes follow its last record`);
      return false;
    }
    if (this.#stop - this.#at < 4) throw malformed(`${this.#what}: ends inside a record`);
    const length = body.readUInt32BE(this.#at);
    let at = this.#at + 4;
    if (length > this.#stop - at) throw malformed(`${this.#what}: ends inside a record`);
    if (length < RECORD_HEAD_BYTES) throw malformed(`${this.#what}: a record is too short`);
    this.recordBytes = 4 + length;
    this.#end = at + length;
    this.offset = bodyU64(body, at, this.#what);
    this.timestampMs = bodyU64(body, at + 8, this.#what);
    this.flags = body[at + 16] as number;
    if ((this.flags & ~TAIL_RECORD_FLAGS) !== 0)
      checkFlags(this.flags, TAIL_RECORD_FLAGS, `${this.#what}: a record`);
    at += RECORD_HEAD_BYTES;
    this.#idAt = at;
    if (this.hasId) at = this.#step(at, ID_BYTES);
    if ((this.flags & TailRecordFlag.KEY) !== 0) {
      this.#keyAt = this.#step(at, 4);
      at = this.#keyEnd = this.#step(this.#keyAt, body.readUInt32BE(at));
    }
    if ((this.flags & TailRecordFlag.HEADERS) !== 0) {
      this.#headersAt = this.#step(at, 4);
      at = this.#headersEnd = this.#step(this.#headersAt, body.readUInt32BE(at));
    }
    if ((this.flags & TailRecordFlag.NULL_VALUE) !== 0 && at !== this.#end) {
      throw malformed(`${this.#what}: bytes follow in a record whose value is null`);
    }
    this.#valueAt = at;
    this.#at = this.#end;
    this.#left -= 1;
    return true;
  }

  get hasId(): boolean {
    return (this.flags & TailRecordFlag.ID) !== 0;
  }

  /** The message id, undefined for a record that no node wrote. */
  get id(): MessageId | undefined {
    if (!this.hasId) return undefined;
    return {
      producerId: this.#body.readBigUInt64BE(this.#idAt),
      epoch: this.#body.readUInt16BE(this.#idAt + 8),
      sequence: this.#body.readUIntBE(this.#idAt + 10, 6),
    };
  }

  get key(): Buffer | undefined {
    if ((this.flags & TailRecordFlag.KEY) === 0) return undefined;
    return this.#body.subarray(this.#keyAt, this.#keyEnd);
  }

  get value(): Buffer | null {
    if ((this.flags & TailRecordFlag.NULL_VALUE) !== 0) return null;
    return this.#body.subarray(this.#valueAt, this.#end);
  }

  /** @throws ProtocolError MALFORMED */
  get headers(): MessageHeader[] {
    if ((this.flags & TailRecordFlag.HEADERS) === 0) return [];
    return readTailHeaders(this.#body.subarray(this.#headersAt, this.#headersEnd));
  }

  #step(at: number, bytes: number): number {
    if (bytes > this.#end - at) throw malformed(`${this.#what}: a record ends inside a field`);
    return at + bytes;
  }
}

/** The u64 at `at`. @throws ProtocolError MALFORMED above 2^53 − 1 [P-1.3] */
export function bodyU64(body: Buffer, at: number, what: string): number {
  const value = body.readUInt32BE(at) * TWO_32 + body.readUInt32BE(at + 4);
  if (value > Number.MAX_SAFE_INTEGER) throw malformed(`${what}: a number is above 2^53 - 1`);
  return value;
}
