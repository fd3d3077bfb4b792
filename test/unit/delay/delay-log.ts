import { DELAY_PARTITIONS } from '../../../protocol/src/delay-id.ts';
import type {
  ConsumerBackend,
  FetchedRecords,
  GroupMember,
  JoinOptions,
} from '../../../src/backend/consumer-port.ts';
import type { PartitionOffsets } from '../../../src/backend/port.ts';
import type { PublishRecord } from '../../../src/backend/publisher-port.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';

const BATCH = 50;

/** A delay log in memory, and the one member that reads it. */
export class DelayLog {
  readonly partitions: Buffer[][] = Array.from({ length: DELAY_PARTITIONS }, () => []);
  /** Batches given to the member at a time are held back while it is set. */
  isHeld = false;
  /** Of this partition alone. */
  heldPartition: number | undefined;
  #options: JoinOptions | undefined;
  #next: (number | undefined)[] = [];

  get length(): number {
    return this.partitions.reduce((sum, records) => sum + records.length, 0);
  }

  /** Only what a delay cluster asks. */
  get backend(): ConsumerBackend {
    const offsets = async (): Promise<PartitionOffsets[]> =>
      this.partitions.map(({ length }, partition) => ({
        partition,
        startOffset: 0,
        endOffset: length,
      }));
    const join = (options: JoinOptions) => this.#join(options);
    return { cluster: 0, offsets, join } as unknown as ConsumerBackend;
  }

  append(record: PublishRecord): { partition: number; offset: number } {
    const partition = record.partition ?? 0;
    const log = this.partitions[partition] as Buffer[];
    const offset = log.length;
    log.push(recordBytes(offset, record));
    this.pump();
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

  /** The cleaner takes everything: readers pass it without a word. */
  vanish(): void {
    for (const log of this.partitions) log.fill(Buffer.alloc(0));
  }

  /** The member loses all partitions, without a word before. */
  lose(): void {
    this.#next = [];
    this.#options?.onLost(this.#places);
  }

  /** The member is given all partitions. */
  assign(): void {
    this.#options?.onAssigned(this.#places);
  }

  /** The member is told that others have all partitions. */
  assignNone(): void {
    this.#options?.onAssigned([]);
  }

  pump(): void {
    if (this.isHeld) return;
    for (const [partition, next] of this.#next.entries()) {
      if (partition === this.heldPartition) continue;
      const log = this.partitions[partition] as Buffer[];
      if (next === undefined || next >= log.length) continue;
      if ((log[next] as Buffer).length === 0) {
        this.#next[partition] = next + 1;
        this.pump();
        return;
      }
      const some = log.slice(next, next + BATCH);
      this.#next[partition] = next + some.length;
      const batch = batchOf(partition, next, some, log.length);
      const options = this.#options;
      queueMicrotask(() => {
        if (this.#options === options) options?.onRecords(batch);
        this.pump();
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
function recordBytes(offset: number, { key, value, headers }: PublishRecord): Buffer {
  const head = Buffer.alloc(21);
  head.writeBigUInt64BE(BigInt(offset), 4);
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

function batchOf(partition: number, from: number, some: Buffer[], endOffset: number) {
  const starts = new Uint32Array(some.length + 1);
  for (const [i, bytes] of some.entries()) starts[i + 1] = (starts[i] as number) + bytes.length;
  const batch: FetchedRecords = {
    topic: delayTopic,
    partition,
    count: some.length,
    records: Buffer.concat(some),
    starts,
    offsets: Float64Array.from(some, (_, i) => from + i),
    keyHashes: new Uint32Array(some.length),
    nextOffset: from + some.length,
    endOffset,
  };
  return batch;
}
