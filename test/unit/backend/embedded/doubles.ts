import assert from 'node:assert/strict';
import type { Clock, Timer } from '../../../../src/base/clock.ts';
import { coded } from '../../../../src/base/errors.ts';
import type { BatchBuilder, ChunkPlan } from '../../../../src/native/batch-builder.ts';
import type {
  ChunkAppend,
  ChunkInfo,
  ChunkLog,
  ChunkRewrite,
  GroupCommit,
  GroupOffsets,
  LogChunk,
  LogPartition,
  LogPosition,
} from '../../../../src/store/lane-store.ts';

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Map<number, { at: number; fn: () => void }>();
  #next = 1;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Timers that were set so far. */
  get set(): number {
    return this.#next - 1;
  }

  setTimer(fn: () => void, delayMs: number): Timer {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + delayMs, fn });
    return { cancel: () => this.#timers.delete(id) };
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** The wall clock is set, back or forth; no timer fires by it. */
  step(ms: number): void {
    this.#now += ms;
    for (const timer of this.#timers.values()) timer.at += ms;
  }

  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers]
        .filter(([, timer]) => timer.at <= until)
        .sort((a, b) => a[1].at - b[1].at)[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].fn();
    }
    this.#now = until;
  }
}

/** The port to the store's chunks, in memory. */
export class MemoryChunks implements ChunkLog {
  readonly #chunks = new Map<string, LogChunk[]>();
  readonly #starts = new Map<string, number>();
  reads = 0;
  /** The chunk that holds this offset is not what was written. */
  damagedOffset = Number.POSITIVE_INFINITY;

  append(plan: ChunkAppend): void {
    for (let i = 0; i < plan.count; i++) {
      const row = [...plan.table.subarray(i * 7, i * 7 + 7)];
      const [topicId = 0, partition = 0, baseOffset = 0, messages = 0, from = 0, bytes = 0] = row;
      const list = this.#list(topicId, partition);
      const records = Buffer.from(plan.bytes.subarray(from, from + bytes));
      const { timestampMs } = plan;
      list.push({ topicId, partition, baseOffset, messages, bytes, timestampMs, records });
    }
  }

  chunksOf(topicId: number, partition: number): number {
    return this.#list(topicId, partition).length;
  }

  async partitions(): Promise<LogPartition[]> {
    return [...this.#chunks].map(([key, list]) => {
      const [topicId = 0, partition = 0] = key.split('/').map(Number);
      const last = list.at(-1);
      const noted = this.#starts.get(key) ?? 0;
      return {
        topicId,
        partition,
        startOffset: list[0]?.baseOffset ?? noted,
        nextOffset: last === undefined ? noted : last.baseOffset + last.messages,
        bytes: list.reduce((sum, chunk) => sum + chunk.bytes, 0),
        chunks: list.length,
      };
    });
  }

  async *infos(from: LogPosition): AsyncGenerator<ChunkInfo> {
    for (const chunk of [...this.#from(from)]) yield chunk;
  }

  async read(from: LogPosition, bytesMax: number): Promise<LogChunk[]> {
    this.reads += 1;
    const found: LogChunk[] = [];
    let bytes = 0;
    for (const chunk of this.#from(from)) {
      const { baseOffset, messages } = chunk;
      if (baseOffset <= this.damagedOffset && this.damagedOffset < baseOffset + messages) {
        throw coded('STORE_CORRUPT', `the chunk at ${baseOffset}`);
      }
      found.push(chunk);
      bytes += chunk.bytes;
      if (bytes >= bytesMax) break;
    }
    return found;
  }

  async deleteBefore({ topicId, partition, offset }: LogPosition): Promise<void> {
    const kept = this.#list(topicId, partition).filter((c) => c.baseOffset + c.messages > offset);
    this.#chunks.set(`${topicId}/${partition}`, kept);
    this.#starts.set(`${topicId}/${partition}`, offset);
  }

  async rewrite({ from, records, timestampMs }: ChunkRewrite): Promise<void> {
    const [first, last] = [from[0], from.at(-1)];
    assert.ok(first !== undefined && last !== undefined);
    const { topicId, partition, baseOffset } = first;
    const messages = last.baseOffset + last.messages - baseOffset;
    const list = this.#list(topicId, partition);
    const at = list.findIndex((chunk) => chunk.baseOffset === baseOffset);
    const info = { topicId, partition, baseOffset, messages, bytes: records.length, timestampMs };
    list.splice(at, from.length, { ...info, records: Buffer.from(records) });
  }

  async drop(topicId: number, partition: number): Promise<void> {
    this.#chunks.delete(`${topicId}/${partition}`);
  }

  #from({ topicId, partition, offset }: LogPosition): LogChunk[] {
    return this.#list(topicId, partition).filter((c) => c.baseOffset + c.messages > offset);
  }

  #list(topicId: number, partition: number): LogChunk[] {
    const key = `${topicId}/${partition}`;
    const list = this.#chunks.get(key) ?? [];
    this.#chunks.set(key, list);
    return list;
  }
}

/** The port to the commits of groups, in memory. */
export class MemoryGroups implements GroupOffsets {
  readonly #commits = new Map<string, Map<string, GroupCommit>>();

  async commit(group: string, commits: readonly GroupCommit[]): Promise<void> {
    const known = this.#commits.get(group) ?? new Map<string, GroupCommit>();
    for (const commit of commits) known.set(`${commit.topic}/${commit.partition}`, commit);
    this.#commits.set(group, known);
  }

  async read(group: string): Promise<GroupCommit[]> {
    return [...(this.#commits.get(group)?.values() ?? [])];
  }

  async groups(): Promise<string[]> {
    return [...this.#commits.keys()].sort();
  }

  async drop(group: string): Promise<void> {
    this.#commits.delete(group);
  }
}

export interface FakeMessage {
  readonly topic: number;
  readonly partition: number;
  readonly value: string;
}

/** As much of a builder as the log uses: it encodes the messages it was given. */
export function fakeBuilder(messages: readonly FakeMessage[]): BatchBuilder {
  const topics = Int32Array.from(new Set(messages.map((message) => message.topic)));
  const fake = {
    topics,
    topicCount: topics.length,
    chunkTable: new Float64Array(0),
    chunkBytes: new Uint8Array(0),
    encodeChunks(plan: ChunkPlan): number {
      const groups = new Map<string, FakeMessage[]>();
      for (const message of messages) {
        const key = `${message.topic}/${message.partition}`;
        groups.set(key, [...(groups.get(key) ?? []), message]);
      }
      const table: number[] = [];
      const parts: Buffer[] = [];
      let at = 0;
      for (const group of groups.values()) {
        const { topic = 0, partition = 0 } = group[0] ?? {};
        const index = topics.indexOf(topic);
        assert.ok(partition < (plan.partitions[index] ?? 0));
        const before = plan.partitions.subarray(0, index).reduce((sum, n) => sum + n, 0);
        const base = plan.nextOffsets[before + partition] ?? Number.NaN;
        const bytes = Buffer.concat(group.map((message, i) => record(base + i, message.value)));
        table.push(topic, partition, base, group.length, at, bytes.length, 0);
        parts.push(bytes);
        at += bytes.length;
      }
      fake.chunkTable = Float64Array.from(table);
      fake.chunkBytes = Buffer.concat(parts);
      return groups.size;
    },
  };
  return fake as unknown as BatchBuilder;
}

// record := length:u32 offset:u64 timestampMs:u64 flags:u8 value
function record(offset: number, value: string): Buffer {
  const head = Buffer.alloc(21);
  head.writeUInt32BE(17 + value.length);
  head.writeBigUInt64BE(BigInt(offset), 4);
  return Buffer.concat([head, Buffer.from(value)]);
}

/** Offsets and values of records, read by the rules of the wire. */
export function decode(records: Uint8Array): { offset: number; value: string }[] {
  const bytes = Buffer.from(records);
  const found: { offset: number; value: string }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    const offset = Number(bytes.readBigUInt64BE(at + 4));
    found.push({ offset, value: bytes.toString('utf8', at + 21, end) });
    at = end;
  }
  return found;
}
