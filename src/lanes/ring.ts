import assert from 'node:assert';

/*
 * A single-producer, single-consumer ring of entries in shared memory. Requests travel from the
 * main thread to a lane in one, answers travel back in another.
 *
 *   entry := bytes:u32 | session:u32 | messages:u32 | kind:u32 | payload[bytes] | padding to 8
 *
 * Little-endian, 8-byte aligned, never split: an entry that does not fit before the end of the
 * ring is preceded by a skip mark (left out where fewer than 16 bytes remain). The write position
 * never catches up with the read position, so that equality means empty.
 */

/** Bytes of an entry before its payload. */
export const ENTRY_HEADER_BYTES = 16;
/**
 * Kind of an entry that holds PRODUCE and PRODUCE_BATCH frames, or PRODUCED frames on the way back.
 */
export const KIND_FRAMES = 1;
/** Kind of the mark that says: go on at the start of the ring. */
export const KIND_SKIP = 0xffff_ffff;

const WRITE = 0;
const READ = 1;
const READER_SLEEPS = 2;
const WRITER_WAITS = 3;

/** The shared memory of a ring; it can be posted to a worker. */
export interface RingMemory {
  readonly data: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
}

/** Makes the memory of a ring of `bytes` (a power of two, at least 64 KiB). */
export function createRingMemory(bytes: number): RingMemory {
  assert(bytes >= 65_536 && (bytes & (bytes - 1)) === 0, 'ring bytes: a power of two, >= 64 KiB');
  return { data: new SharedArrayBuffer(bytes), control: new SharedArrayBuffer(64) };
}

const align8 = (n: number): number => (n + 7) & ~7;

/** The writing end. Not thread-safe: one thread writes. */
export class RingWriter {
  /** The ring's bytes; {@link reserve} says where a payload goes. */
  readonly bytes: Buffer;
  private readonly words: Int32Array;
  private readonly control: Int32Array;
  private readonly size: number;
  private position: number;
  private reserved = 0;

  constructor(memory: RingMemory) {
    this.bytes = Buffer.from(memory.data);
    this.words = new Int32Array(memory.data);
    this.control = new Int32Array(memory.control);
    this.size = memory.data.byteLength;
    this.position = Atomics.load(this.control, WRITE);
  }

  /** Largest payload that this ring can ever take. */
  get payloadBytesMax(): number {
    return this.size / 2 - ENTRY_HEADER_BYTES;
  }

  /**
   * Makes room for a payload and answers its position in {@link bytes}, or -1 when the ring is
   * full; the reader then rings once there is room. {@link publish} must follow before the next.
   */
  reserve(payloadBytes: number): number {
    const at = this.tryReserve(payloadBytes);
    if (at >= 0) return at;
    // The reader may have made room between the look and the flag: look again after raising it.
    Atomics.store(this.control, WRITER_WAITS, 1);
    return this.tryReserve(payloadBytes);
  }

  /**
   * Makes the reserved entry visible. Answers whether the reader sleeps and wants its bell rung.
   */
  publish(session: number, messages: number, payloadBytes: number): boolean {
    const word = this.reserved >>> 2;
    this.words[word] = payloadBytes;
    this.words[word + 1] = session;
    this.words[word + 2] = messages;
    this.words[word + 3] = KIND_FRAMES;
    const end = this.reserved + ENTRY_HEADER_BYTES + align8(payloadBytes);
    this.position = end === this.size ? 0 : end;
    Atomics.store(this.control, WRITE, this.position);
    return Atomics.exchange(this.control, READER_SLEEPS, 0) === 1;
  }

  private tryReserve(payloadBytes: number): number {
    const need = ENTRY_HEADER_BYTES + align8(payloadBytes);
    const read = Atomics.load(this.control, READ);
    const write = this.position;
    if (write >= read) {
      // Strictly less at the end when the reader is at 0, or "full" would look like "empty".
      if (write + need < this.size || (write + need === this.size && read > 0)) {
        return this.take(write);
      }
      if (need >= read) return -1;
      if (this.size - write >= ENTRY_HEADER_BYTES) {
        this.words[(write >>> 2) + 3] = KIND_SKIP | 0;
      }
      return this.take(0);
    }
    return write + need < read ? this.take(write) : -1;
  }

  private take(at: number): number {
    this.reserved = at;
    return at + ENTRY_HEADER_BYTES;
  }
}

/** The reading end. Not thread-safe: one thread reads. */
export class RingReader {
  /** The ring's bytes; borrowed until {@link release}. */
  readonly bytes: Buffer;
  private readonly words: Int32Array;
  private readonly control: Int32Array;
  private readonly size: number;
  private position: number;

  /** Of the entry that {@link next} found. */
  session = 0;
  messages = 0;
  payloadStart = 0;
  payloadBytes = 0;

  constructor(memory: RingMemory) {
    this.bytes = Buffer.from(memory.data);
    this.words = new Int32Array(memory.data);
    this.control = new Int32Array(memory.control);
    this.size = memory.data.byteLength;
    this.position = Atomics.load(this.control, READ);
  }

  /** Where reading goes on. */
  get from(): number {
    return this.position;
  }

  /** How far has been written. */
  get to(): number {
    return Atomics.load(this.control, WRITE);
  }

  get isEmpty(): boolean {
    return this.position === this.to;
  }

  /** Bytes that wait, skip marks included. */
  get waitingBytes(): number {
    return (this.to - this.position + this.size) % this.size;
  }

  /** Steps to the next entry and describes it in this object's fields; false when there is none. */
  next(): boolean {
    if (this.isEmpty) return false;
    let word = this.position >>> 2;
    const remaining = this.size - this.position;
    if (remaining < ENTRY_HEADER_BYTES || this.words[word + 3] === (KIND_SKIP | 0)) {
      this.position = 0;
      if (this.isEmpty) return false;
      word = 0;
    }
    this.payloadBytes = this.words[word] ?? 0;
    this.session = (this.words[word + 1] ?? 0) >>> 0;
    this.messages = (this.words[word + 2] ?? 0) >>> 0;
    this.payloadStart = this.position + ENTRY_HEADER_BYTES;
    const end = this.payloadStart + align8(this.payloadBytes);
    this.position = end === this.size ? 0 : end;
    return true;
  }

  /** Moves on to a position that somebody else (the native scan) has read up to. */
  skipTo(position: number): void {
    this.position = position;
  }

  /** Gives back all that was read. Answers whether the writer waits and wants its bell rung. */
  release(): boolean {
    Atomics.store(this.control, READ, this.position);
    return Atomics.exchange(this.control, WRITER_WAITS, 0) === 1;
  }

  /** Says that this end is about to sleep. Answers false when something came in the meantime. */
  trySleep(): boolean {
    Atomics.store(this.control, READER_SLEEPS, 1);
    if (this.isEmpty) return true;
    Atomics.store(this.control, READER_SLEEPS, 0);
    return false;
  }
}
