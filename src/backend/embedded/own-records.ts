import { type CodedError, coded, codeOf, messageOf } from '../../base/errors.ts';
import { CHUNK_COLUMNS } from '../../native/batch-builder.ts';
import type { Crc32c } from '../../store/batch-header.ts';
import type { ChunkAppend } from '../../store/lane-store.ts';

/** Records of one partition that the node itself writes. */
export interface OwnGroup {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  /** Wire records of TAIL; offset and time are filled in here. Owned by the receiver. */
  readonly records: Uint8Array;
}

/** What became of an {@link OwnGroup}. */
export type OwnResult =
  | { readonly baseOffset: number }
  | { readonly code: string; readonly message: string };

/** What the queue asks of the log. */
export interface OwnLog {
  /** Takes offsets for a write. @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  reserve(topic: string, partition: number, messages: number): OwnReserved;
  /** The chunks of a reservation are on the disk; in the order of reservations and plans. */
  stored(append: ChunkAppend): void;
}

/** Offsets that were taken. */
export interface OwnReserved {
  readonly topicId: number;
  readonly baseOffset: number;
}

/** What an {@link OwnRecords} needs. */
export interface OwnRecordsOptions {
  readonly log: OwnLog;
  readonly crc32c: Crc32c;
  /** Something waits to be written. */
  readonly onWaiting: () => void;
  /** True: the disk is too full to take more. */
  readonly isFull: () => boolean;
}

/** Records that go into one write. After it, exactly one of `stored` and `failed` is called. */
export interface OwnAppend {
  readonly messages: number;
  readonly chunks: ChunkAppend;
  stored(): void;
  failed(error: unknown): void;
}

interface Waiting {
  readonly groups: readonly OwnGroup[];
  readonly resolve: (results: OwnResult[]) => void;
}

/** Bytes of one write, except that a single call may be longer. */
const appendBytesMax = 4 * 1024 * 1024;
const waitingBytesMax = 64 * 1024 * 1024;

/**
 * Records that no client sent (fired delays, dead letters, ack maps): they wait for the lane's next
 * write and share its fsync, or get one of their own when nothing else is to be written.
 */
export class OwnRecords {
  readonly #options: OwnRecordsOptions;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #ended: unknown;

  constructor(options: OwnRecordsOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves when all are on the disk, or refused. @throws RETRY_LATER */
  async add(groups: readonly OwnGroup[]): Promise<OwnResult[]> {
    if (this.#ended !== undefined) throw this.#ended;
    const bytes = bytesOf(groups);
    if (this.#options.isFull()) {
      throw coded('RETRY_LATER', 'the disk is almost full', { retryAfterMs: 1000 });
    }
    if (this.#bytes > 0 && this.#bytes + bytes > waitingBytesMax) {
      throw coded('RETRY_LATER', `${this.#bytes} bytes wait already`, { retryAfterMs: 100 });
    }
    this.#bytes += bytes;
    return new Promise((resolve) => {
      this.#waiting.push({ groups, resolve });
      this.#options.onWaiting();
    });
  }

  /** Refuses what waits and what comes: nothing is written any more. */
  end(error: CodedError): void {
    this.#ended = error;
    const failure = { code: codeOf(error), message: messageOf(error) };
    for (const { groups, resolve } of this.#waiting) resolve(groups.map(() => failure));
    this.#waiting = [];
    this.#bytes = 0;
  }

  /** Gives what waits its offsets; undefined when nothing is left to be written. */
  take(timestampMs: number): OwnAppend | undefined {
    const taken: Waiting[] = [];
    let bytes = 0;
    for (const waiting of this.#waiting) {
      const more = bytesOf(waiting.groups);
      if (bytes > 0 && bytes + more > appendBytesMax) break;
      bytes += more;
      taken.push(waiting);
    }
    if (taken.length === 0) return undefined;
    this.#waiting.splice(0, taken.length);
    this.#bytes -= bytes;
    const plan = new Plan(this.#options, timestampMs);
    const results = taken.map((waiting) => waiting.groups.map((group) => plan.add(group)));
    const settle = (): void => {
      for (const [i, waiting] of taken.entries()) waiting.resolve(results[i] ?? []);
    };
    if (plan.messages === 0) {
      settle();
      return this.take(timestampMs);
    }
    const chunks = plan.append();
    return {
      messages: plan.messages,
      chunks,
      stored: () => {
        this.#options.log.stored(chunks);
        settle();
      },
      failed: (error) => {
        const failure = { code: codeOf(error), message: messageOf(error) };
        for (const waiting of taken) waiting.resolve(waiting.groups.map(() => failure));
      },
    };
  }
}

class Plan {
  readonly #options: OwnRecordsOptions;
  readonly #timestampMs: number;
  readonly #rows: number[] = [];
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  messages = 0;

  constructor(options: OwnRecordsOptions, timestampMs: number) {
    this.#options = options;
    this.#timestampMs = timestampMs;
  }

  add(group: OwnGroup): OwnResult {
    const { topic, partition, count, records } = group;
    let reserved: OwnReserved;
    try {
      reserved = this.#options.log.reserve(topic, partition, count);
    } catch (error) {
      return { code: codeOf(error), message: messageOf(error) };
    }
    const { topicId, baseOffset } = reserved;
    stamp(records, baseOffset, this.#timestampMs);
    const crc = this.#options.crc32c(records);
    this.#rows.push(topicId, partition, baseOffset, count, this.#bytes, records.length, crc);
    this.#parts.push(records);
    this.#bytes += records.length;
    this.messages += count;
    return { baseOffset };
  }

  append(): ChunkAppend {
    return {
      table: Float64Array.from(this.#rows),
      count: this.#rows.length / CHUNK_COLUMNS,
      bytes: Buffer.concat(this.#parts),
      timestampMs: this.#timestampMs,
    };
  }
}

/** One append of two; the bytes are copied. */
export function joinAppends(first: ChunkAppend, second: ChunkAppend): ChunkAppend {
  const table = new Float64Array((first.count + second.count) * CHUNK_COLUMNS);
  table.set(first.table.subarray(0, first.count * CHUNK_COLUMNS));
  table.set(second.table.subarray(0, second.count * CHUNK_COLUMNS), first.count * CHUNK_COLUMNS);
  for (let row = first.count; row < first.count + second.count; row++) {
    const at = row * CHUNK_COLUMNS + 4;
    table[at] = (table[at] as number) + first.bytes.length;
  }
  return {
    table,
    count: first.count + second.count,
    bytes: Buffer.concat([first.bytes, second.bytes]),
    timestampMs: first.timestampMs,
  };
}

// record := length:u32 offset:u64 timestampMs:u64 …
function stamp(records: Uint8Array, baseOffset: number, timestampMs: number): void {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
  let offset = baseOffset;
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    writeU64(bytes, at + 4, offset);
    writeU64(bytes, at + 12, timestampMs);
    offset += 1;
  }
}

function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

function bytesOf(groups: readonly OwnGroup[]): number {
  let bytes = 0;
  for (const { records } of groups) bytes += records.length;
  return bytes;
}
