import { malformed } from './protocol-error.ts';

const TWO_32 = 0x1_0000_0000;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A cursor over one body. Every read is checked against the body's end and throws MALFORMED with
 * `what` and the field's name. Byte fields are views, borrowed from the body.
 */
export class BodyReader {
  readonly #body: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(body: Buffer, what: string) {
    this.#body = body;
    this.#what = what;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#body.length - this.#at;
  }

  u8(field: string): number {
    const at = this.#step(1, field);
    return this.#body[at] as number;
  }

  u16(field: string): number {
    return this.#body.readUInt16BE(this.#step(2, field));
  }

  u32(field: string): number {
    return this.#body.readUInt32BE(this.#step(4, field));
  }

  u48(field: string): number {
    return this.#body.readUIntBE(this.#step(6, field), 6);
  }

  /** A u64 as a number; MALFORMED above 2^53 − 1 [P-1.3]. */
  u64(field: string): number {
    const at = this.#step(8, field);
    const value = this.#body.readUInt32BE(at) * TWO_32 + this.#body.readUInt32BE(at + 4);
    if (value > Number.MAX_SAFE_INTEGER) throw this.#fail(`${field} is above 2^53 - 1`);
    return value;
  }

  /** A u64 as a bigint: producer and node ids. */
  id64(field: string): bigint {
    return this.#body.readBigUInt64BE(this.#step(8, field));
  }

  bytes(length: number, field: string): Buffer {
    const at = this.#step(length, field);
    return this.#body.subarray(at, at + length);
  }

  /** Everything that is left. */
  rest(): Buffer {
    return this.bytes(this.left, 'rest');
  }

  text(length: number, field: string): string {
    const bytes = this.bytes(length, field);
    try {
      return utf8.decode(bytes);
    } catch {
      throw this.#fail(`${field} is not UTF-8`);
    }
  }

  /** Refuses bytes after the last field. */
  end(): void {
    if (this.left > 0) throw this.#fail(`${this.left} bytes follow its last field`);
  }

  #step(bytes: number, field: string): number {
    const at = this.#at;
    if (bytes > this.#body.length - at) throw this.#fail(`ends inside ${field}`);
    this.#at = at + bytes;
    return at;
  }

  #fail(message: string): Error {
    return malformed(`${this.#what}: ${message}`);
  }
}
