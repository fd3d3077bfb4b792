import { DELAY_PARTITIONS } from '../../../protocol/src/delay-id.ts';
import type {
  ConsumerBackend,
  FetchedRecords,
  GroupMember,
  JoinOptions,
  TopicPartition,
} from '../../../src/backend/consumer-port.ts';
import type { PartitionOffsets } from '../../../src/backend/port.ts';
import type { PublishRecord } from '../../../src/backend/publisher-port.ts';
import { coded } from '../../../src/base/errors.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';

const BATCH = 50;
const NOTHING = Buffer.alloc(0);
const TOMBSTONES_KEPT_MS = 86_400_000;

/** A delay log in memory, and the one member that reads it. */
export class DelayLog {
  readonly partitions: Buffer[][] = Array.from({ length: DELAY_PARTITIONS }, () => []);
  /** Batches given to the member at a time are held back while it is set. */
  isHeld = false;
  /** Each batch takes a turn of the loop. */
  isSlow = false;
  /** Of this partition alone. */
  heldPartition: number | undefined;
  /** A partition that nobody leads: its offsets are not told. */
  untold: number | undefined;
  #options: JoinOptions | undefined;
  #next: (number | undefined)[] = [];
  #isPumping = false;

  get length(): number {
    return this.partitions.reduce((sum, records) => sum + records.length, 0);
  }

  /** Only what a delay cluster asks. */
  get backend(): ConsumerBackend {
    const span = async ({ partition }: TopicPartition): Promise<PartitionOffsets> => {
      if (partition === this.untold) throw coded('BACKEND_UNAVAILABLE', 'nobody leads it');
      const endOffset = this.partitions[partition]?.length ?? 0;
      return { partition, startOffset: 0, endOffset };
    };
    const join = (options: JoinOptions) => this.#join(options);
    return { cluster: 0, span, join } as unknown as ConsumerBackend;
  }

  append(record: PublishRecord, timestampMs = 0): { partition: number; offset: number } {
    const partition = record.partition ?? 0;
    const log = this.partitions[partition] as Buffer[];
    const offset = log.length;
    log.push(recordBytes(offset, record, timestampMs));
    this.#pumpSoon();
    return { partition, offset };
  }

  /** Keeps the newest record of each key, as a cleaner would, in place: others become foreign. */
  compact(): void {
    for (const log of this.partitions) {
      const newest = new Map<string, number>();
      for (const [offset, bytes] of log.entries()) newest.set(keyOf(bytes), offset);
      for (const [offset, bytes] of log.entries()) {
        const isNewest = newest.get(keyOf(bytes)) === offset;
        if (!isNewest) log[offset] = Buffer.from(bytes).fill(0, 20, 21);
      }
    }
  }

  /** The cleaner takes all but the newest record of each key, and tombstones after a day. */
  clean(nowMs: number): void {
    for (const log of this.partitions) {
      const newest = new Map<string, number>();
      for (const [offset, bytes] of log.entries()) {
        if (bytes.length > 0) newest.set(keyOf(bytes), offset);
      }
      // What is written to is not cleaned: the end of the log stays.
      for (let offset = 0; offset < log.length - 1; offset++) {
        const bytes = log[offset] as Buffer;
        if (bytes.length === 0) continue;
        const isOver = isTombstone(bytes) && timestampOf(bytes) < nowMs - TOMBSTONES_KEPT_MS;
        if (isOver || newest.get(keyOf(bytes)) !== offset) log[offset] = NOTHING;
      }
    }
  }

  /** The cleaner takes everything: readers pass it without a word. */
  vanish(): void {
    for (const log of this.partitions) log.fill(NOTHING);
  }

  /** The member is gone, without a word. */
  forgetMember(): void {
    this.#options = undefined;
    this.#next = [];
  }

  /** The member loses all partitions, without a word before. */
  lose(): void {
    this.#next = [];
    this.#options?.onLost(this.#places);
  }

  /** The member hands all partitions over; resolves when it has let go of them. */
  revoke(): Promise<void> {
    this.#next = [];
    return new Promise((done) => this.#options?.onRevoking(this.#places, done));
  }

  /** The member is given all partitions. */
  assign(): void {
    this.#options?.onAssigned(this.#places);
  }

  /** The member is told that others have all partitions. */
  assignNone(): void {
    this.#options?.onAssigned([]);
  }

  /** The cluster says something of a partition. */
  fail(partition: number, code: string): void {
    this.#options?.onError(coded(code, 'it is away'), { topic: delayTopic, partition });
  }

  /** What is appended in one turn is read together. */
  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(() => {
      this.#isPumping = false;
      this.pump();
    });
  }

  pump(): void {
    if (this.isHeld) return;
    for (const [partition, next] of this.#next.entries()) {
      if (partition === this.heldPartition) continue;
      const log = this.partitions[partition] as Buffer[];
      if (next === undefined || next >= log.length) continue;
      const { some, offsets, nextOffset } = taken(log, next);
      this.#next[partition] = nextOffset;
      if (some.length === 0) continue;
      const batch = batchOf(partition, offsets, some, { nextOffset, endOffset: log.length });
      const options = this.#options;
      const later = this.isSlow ? setImmediate : queueMicrotask;
      later(() => {
        if (this.#options === options) options?.onRecords(batch);
        this.#pumpSoon();
      });
    }
  }

  get #places() {
    return this.partitions.map((_, partition) => ({ topic: delayTopic, partition }));
  }

  #join(options: JoinOptions): GroupMember {
    this.#options = options;
    this.#next = [];
    queueMicrotask(() => options.onAssigned(this.#places));
    const member = {
      start: (_topic: string, partition: number, from: number) => {
        this.#next[partition] = from;
      },
      want: () => this.pump(),
      close: async () => {
        if (this.#options === options) this.#options = undefined;
        this.#next = [];
      },
    };
    return member as unknown as GroupMember;
  }
}

// record := length:u32 offset:u64 timestampMs:u64 flags:u8 keyLength:u32 key
//           headersLength:u32 headers value
function recordBytes(offset: number, record: PublishRecord, timestampMs: number): Buffer {
  const { key, value, headers } = record;
  const head = Buffer.alloc(21);
  head.writeBigUInt64BE(BigInt(offset), 4);
  head.writeBigUInt64BE(BigInt(timestampMs), 12);
  head[20] = 1 | 2 | (value === null ? 8 : 0);
  const length = (bytes: Uint8Array) => {
    const field = Buffer.alloc(4);
    field.writeUInt32BE(bytes.length, 0);
    return field;
  };
  const own = key ?? new Uint8Array();
  const parts = [head, length(own), own, length(headers), headers, value ?? new Uint8Array()];
  const bytes = Buffer.concat(parts);
  bytes.writeUInt32BE(bytes.length - 4, 0);
  return bytes;
}

function keyOf(bytes: Buffer): string {
  return bytes.toString('latin1', 25, 49);
}

function isTombstone(bytes: Buffer): boolean {
  return ((bytes[20] as number) & 8) !== 0;
}

function timestampOf(bytes: Buffer): number {
  return Number(bytes.readBigUInt64BE(12));
}

/** What a fetch from an offset on gives, and where the next begins: the cleaner left gaps. */
function taken(log: readonly Buffer[], from: number) {
  const some: Buffer[] = [];
  const offsets: number[] = [];
  let nextOffset = from;
  for (; nextOffset < log.length && some.length < BATCH; nextOffset++) {
    const bytes = log[nextOffset] as Buffer;
    if (bytes.length === 0) continue;
    some.push(bytes);
    offsets.push(nextOffset);
  }
  return { some, offsets, nextOffset };
}

function batchOf(
  partition: number,
  offsets: readonly number[],
  some: readonly Buffer[],
  ends: { readonly nextOffset: number; readonly endOffset: number },
) {
  const starts = new Uint32Array(some.length + 1);
  for (const [i, bytes] of some.entries()) starts[i + 1] = (starts[i] as number) + bytes.length;
  const batch: FetchedRecords = {
    topic: delayTopic,
    partition,
    count: some.length,
    records: Buffer.concat(some),
    starts,
    offsets: Float64Array.from(offsets),
    keyHashes: new Uint32Array(some.length),
    ...ends,
  };
  return batch;
}
