import type {
  CommittedOffset,
  ConsumerBackend,
  FetchedRecords,
  GroupDescription,
  GroupMember,
  GroupMemberDescription,
  GroupSummary,
  JoinOptions,
  OffsetCommit,
  Place,
  TopicPartition,
} from '../../src/backend/consumer-port.ts';
import {
  type PartitionOffsets,
  type TailRequest,
  type TailResult,
  type TopicSummary,
  tailFrom,
} from '../../src/backend/port.ts';
import { coded } from '../../src/base/errors.ts';
import { fetched, type MadeRecord } from './fetched.ts';

interface Log {
  readonly records: MadeRecord[];
  start: number;
}

interface Reader {
  next: number;
  credit: number;
  assigned: boolean;
}

/** The consuming side of a cluster, in memory: one member a group, records given by hand. */
export class MemoryCluster implements ConsumerBackend {
  readonly cluster = 0;
  readonly logs = new Map<string, Log>();
  readonly commits = new Map<string, CommittedOffset>();
  readonly members = new Set<MemoryMember>();
  /** Set to make commits fail. */
  refusal: Error | undefined;
  /** Commits wait for it. */
  hold: Promise<void> = Promise.resolve();
  commitCount = 0;

  addTopic(topic: string, partitions: number): void {
    for (let p = 0; p < partitions; p++) this.logs.set(`${topic}/${p}`, { records: [], start: 0 });
  }

  /** Appends messages, and gives them to who reads. */
  append(topic: string, partition: number, ...records: Omit<MadeRecord, 'offset'>[]): void {
    const log = this.logOf(topic, partition);
    for (const record of records) {
      log.records.push({ ...record, offset: log.records.length });
    }
    for (const member of this.members) member.pump(topic, partition);
  }

  logOf(topic: string, partition: number): Log {
    const log = this.logs.get(`${topic}/${partition}`);
    if (log === undefined) throw coded('UNKNOWN_TOPIC', topic);
    return log;
  }

  join(options: JoinOptions): GroupMember {
    const member = new MemoryMember(this, options);
    this.members.add(member);
    return member;
  }

  async tail(request: TailRequest): Promise<TailResult> {
    const { records, start } = this.logOf(request.topic, request.partition);
    const position = request.from === tailFrom.beginning ? start : request.position;
    if (position < start) throw coded('OFFSET_OUT_OF_RANGE', 'freed');
    const some = records.slice(position, position + 50);
    const batch = some.length === 0 ? undefined : fetched(some);
    return {
      partition: request.partition,
      startOffset: start,
      endOffset: records.length,
      nextOffset: position + some.length,
      count: some.length,
      records: batch?.records ?? Buffer.alloc(0),
    };
  }

  async offsets(topic: string): Promise<PartitionOffsets[]> {
    return [...this.logs].flatMap(([key, { records, start }]) => {
      const [name, partition] = key.split('/');
      if (name !== topic) return [];
      return [{ partition: Number(partition), startOffset: start, endOffset: records.length }];
    });
  }

  async span({ topic, partition }: TopicPartition): Promise<PartitionOffsets> {
    const { records, start } = this.logOf(topic, partition);
    return { partition, startOffset: start, endOffset: records.length };
  }

  async positions(partitions: readonly TopicPartition[], at: Place): Promise<readonly number[]> {
    return partitions.map(({ topic, partition }) => {
      const { start, records } = this.logOf(topic, partition);
      if (at === 'end') return records.length;
      if (at === 'beginning') return start;
      const found = records.findIndex(({ timestampMs = 0 }) => timestampMs >= at.timeMs);
      return found < 0 ? records.length : Math.max(start, found);
    });
  }

  async listTopics(prefix: string): Promise<TopicSummary[]> {
    const names = new Set([...this.logs.keys()].map((key) => key.split('/')[0] as string));
    return [...names].filter((n) => n.startsWith(prefix)).map((name) => ({ name, partitions: 1 }));
  }

  async listGroups(): Promise<GroupSummary[]> {
    return [];
  }

  async describeGroup(): Promise<GroupDescription | undefined> {
    return undefined;
  }

  /** Of every group, whoever asks. */
  readonly described: GroupMemberDescription[] = [];
  describeCount = 0;

  async groupMembers(groups: readonly string[]) {
    this.describeCount++;
    return new Map(groups.map((group) => [group, this.described]));
  }

  async resetOffsets(group: string, entries: readonly OffsetCommit[]): Promise<void> {
    for (const entry of entries) {
      this.commits.set(`${group}/${entry.topic}/${entry.partition}`, entry);
    }
  }

  async deleteGroup(): Promise<void> {}

  async close(): Promise<void> {}
}

/** A membership that gets every partition of its topics. */
export class MemoryMember implements GroupMember {
  readonly options: JoinOptions;
  readonly #cluster: MemoryCluster;
  readonly #readers = new Map<string, Reader>();

  constructor(cluster: MemoryCluster, options: JoinOptions) {
    this.#cluster = cluster;
    this.options = options;
    if (options.topics.length > 0) this.setTopics(options.topics);
  }

  setTopics(topics: readonly string[]): void {
    const fresh: TopicPartition[] = [];
    for (const key of this.#cluster.logs.keys()) {
      const [topic = '', partition] = key.split('/');
      if (!topics.includes(topic) || this.#readers.has(key)) continue;
      this.#readers.set(key, { next: 0, credit: 0, assigned: true });
      fresh.push({ topic, partition: Number(partition) });
    }
    queueMicrotask(() => this.options.onAssigned(fresh));
  }

  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    return partitions.map(({ topic, partition }) => {
      const found = this.#cluster.commits.get(`${this.options.group}/${topic}/${partition}`);
      return found ?? { topic, partition, offset: undefined, metadata: '' };
    });
  }

  async commit(entries: readonly OffsetCommit[]): Promise<void> {
    await this.#cluster.hold;
    if (this.#cluster.refusal !== undefined) throw this.#cluster.refusal;
    this.#cluster.commitCount++;
    for (const entry of entries) {
      if (!this.#readers.has(`${entry.topic}/${entry.partition}`)) throw coded('FENCED', 'gone');
      this.#cluster.commits.set(`${this.options.group}/${entry.topic}/${entry.partition}`, entry);
    }
  }

  start(topic: string, partition: number, fromOffset: number): void {
    const reader = this.#readers.get(`${topic}/${partition}`);
    if (reader === undefined) return;
    reader.next = fromOffset;
    reader.credit = 0;
  }

  want(topic: string, partition: number, bytes: number): void {
    const reader = this.#readers.get(`${topic}/${partition}`);
    if (reader === undefined) return;
    reader.credit += bytes;
    this.pump(topic, partition);
  }

  pump(topic: string, partition: number): void {
    const reader = this.#readers.get(`${topic}/${partition}`);
    const { records, start } = this.#cluster.logOf(topic, partition);
    if (reader === undefined || reader.credit <= 0) return;
    if (reader.next < start || reader.next > records.length) {
      const error = coded('OFFSET_OUT_OF_RANGE', 'freed');
      queueMicrotask(() => this.options.onError(error, { topic, partition }));
      return;
    }
    const some = records.slice(reader.next, reader.next + 100);
    if (some.length === 0) return;
    const endOffset = records.length;
    const batch: FetchedRecords = fetched(some, { topic, partition, endOffset });
    reader.next += some.length;
    reader.credit -= batch.records.length;
    queueMicrotask(() => {
      if (this.#readers.get(`${topic}/${partition}`) === reader) this.options.onRecords(batch);
      this.pump(topic, partition);
    });
  }

  /** A rebalance takes partitions away. */
  revoke(partitions: readonly TopicPartition[]): Promise<void> {
    return new Promise((resolve) => {
      this.options.onRevoking(partitions, () => {
        for (const { topic, partition } of partitions)
          this.#readers.delete(`${topic}/${partition}`);
        resolve();
      });
    });
  }

  /** The membership is lost without a word. */
  lose(): void {
    const all = [...this.#readers.keys()].map((key) => {
      const [topic = '', partition] = key.split('/');
      return { topic, partition: Number(partition) };
    });
    this.#readers.clear();
    this.options.onLost(all);
  }

  async close(): Promise<void> {
    const all = [...this.#readers.keys()].map((key) => {
      const [topic = '', partition] = key.split('/');
      return { topic, partition: Number(partition) };
    });
    await this.revoke(all);
    this.#cluster.members.delete(this);
  }
}
