import { writeFrameHeader } from '../../protocol/src/frame.ts';
import { FRAME_HEADER_BYTES, Opcode } from '../../protocol/src/generated.ts';
import { TOKEN_BYTES, type TokenFields, type Tokens } from './lease/token.ts';
import type { ConsumePartition } from './partition/partition.ts';
import type { RunBook } from './partition/run-book.ts';
import type { Subscription } from './partition/subscription.ts';

const SLAB_BYTES = 256 * 1024;
const SUBSCRIPTION_BYTES = 4;
/** A frame's length does not count itself. */
const FRAME_LENGTH_BYTES = 4;
/** Of a run, without its topic, attempts and records [P-12.7]. */
const RUN_BYTES = 2 + 1 + 4 + TOKEN_BYTES + 8 + 2 + 4;
/** Messages of one run at most. */
export const RUN_MESSAGES = 128;
const TWO_32 = 0x1_0000_0000;

/**
 * Writes DELIVER frames, one for each run, back to back for each connection: the records are copied
 * once, from where they were fetched into what the socket is given.
 */
export class Delivery {
  readonly #tokens: Tokens;
  readonly #book: RunBook;
  readonly #frameBytesMax: number;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #at = 0;
  #from = 0;
  readonly #fields: TokenFields = {
    cluster: 0,
    ownerHigh: 0,
    ownerLow: 0,
    partition: 0,
    firstOffset: 0,
    ownerEpoch: 0,
    leaseRun: 0,
  };

  constructor(tokens: Tokens, book: RunBook, frameBytesMax: number) {
    this.#tokens = tokens;
    this.#book = book;
    this.#frameBytesMax = frameBytesMax;
  }

  /** Bytes of records that one DELIVER of a partition can carry, whatever their number. */
  roomFor({ topicBytes }: ConsumePartition): number {
    const head = FRAME_HEADER_BYTES - FRAME_LENGTH_BYTES + SUBSCRIPTION_BYTES + RUN_BYTES;
    return this.#frameBytesMax - head - topicBytes.length - 2 * RUN_MESSAGES;
  }

  /**
   * Adds what `partition.window` has picked to what goes out to the subscription; `send` follows.
   * Answers the bytes of its records.
   */
  add(
    to: Subscription,
    partition: ConsumePartition,
    count: number,
    { run, nowMs }: { run: number; nowMs: number },
  ): number {
    const { block, picked } = partition.window;
    const first = picked[0] as number;
    let recordBytes = 0;
    for (let i = 0; i < count; i++) {
      recordBytes += block.sizeOf(picked[i] as number);
    }
    const { topicBytes } = partition;
    const body = SUBSCRIPTION_BYTES + RUN_BYTES + topicBytes.length + 2 * count + recordBytes;
    this.#room(to, FRAME_HEADER_BYTES + body);
    const out = this.#slab;
    const header = {
      opcode: Opcode.DELIVER,
      flags: 0,
      topic: 0,
      correlationId: 0,
      bodyBytes: body,
    };
    let at = writeFrameHeader(out, this.#at, header);
    at = out.writeUInt32BE(to.id, at);
    at = out.writeUInt16BE(topicBytes.length, at);
    at += topicBytes.copy(out, at);
    out[at++] = partition.cluster;
    at = out.writeUInt32BE(partition.partition, at);
    const firstOffset = block.offsetOf(first);
    this.#token(at, partition, firstOffset, run);
    this.#book.note(out, at, partition, nowMs);
    at += TOKEN_BYTES;
    at = out.writeUInt32BE(Math.floor(firstOffset / TWO_32), at);
    at = out.writeUInt32BE(firstOffset >>> 0, at);
    at = out.writeUInt16BE(count, at);
    at = out.writeUInt32BE(recordBytes, at);
    for (let i = 0; i < count; i++) {
      const attempt = block.attemptOf(picked[i] as number);
      out[at++] = attempt >>> 8;
      out[at++] = attempt & 0xff;
    }
    this.#at = this.#records(partition, count, at);
    return recordBytes;
  }

  /** Hands what was added to the connection. */
  send(to: Subscription): void {
    if (this.#at === this.#from) return;
    const isFree = to.receiver.write(this.#slab.subarray(this.#from, this.#at));
    // A new slab for each few writes would be garbage as fast as messages go out.
    if (isFree) this.#at = this.#from;
    else this.#from = this.#at;
  }

  #room(to: Subscription, bytes: number): void {
    if (this.#slab.length - this.#at >= bytes) return;
    this.send(to);
    if (this.#slab.length - this.#at >= bytes) return;
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes));
    this.#at = 0;
    this.#from = 0;
  }

  #token(at: number, partition: ConsumePartition, firstOffset: number, run: number): void {
    const fields = this.#fields;
    fields.cluster = partition.cluster;
    fields.ownerHigh = partition.ownerHigh;
    fields.ownerLow = partition.ownerLow;
    fields.partition = partition.partition;
    fields.firstOffset = firstOffset;
    fields.ownerEpoch = partition.epoch;
    fields.leaseRun = run;
    this.#tokens.write(this.#slab, at, fields);
  }

  /** Copies the records: those that lie back to back at once. */
  #records(partition: ConsumePartition, count: number, from: number): number {
    const { block, picked } = partition.window;
    const { starts, ends } = block;
    const records = block.records as Buffer;
    let at = from;
    for (let i = 0; i < count; ) {
      const start = starts[picked[i] as number] as number;
      let end = ends[picked[i] as number] as number;
      i++;
      while (i < count && starts[picked[i] as number] === end) {
        end = ends[picked[i] as number] as number;
        i++;
      }
      at += records.copy(this.#slab, at, start, end);
    }
    return at;
  }
}
