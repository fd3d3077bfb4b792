import type { Clock, Timer } from '../../base/clock.ts';
import { CodedError, coded, codeOf, messageOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { indexRecords } from '../../native/record-index.ts';
import { checkCommits } from '../commit-check.ts';
import type {
  CommittedOffset,
  GroupMember,
  JoinOptions,
  OffsetCommit,
  TopicPartition,
} from '../consumer-port.ts';
import { type TailRequest, type TailResult, tailFrom } from '../port.ts';
import type { LaneControl } from './lane-control.ts';

/** What an {@link EmbeddedMember} is made of. */
export interface EmbeddedMemberOptions {
  readonly join: JoinOptions;
  readonly lane: LaneControl;
  readonly clock: Clock;
  /** Partitions of a topic; 0 while there is no such topic. */
  readonly partitionsOf: (topic: string) => number;
  readonly read: (request: TailRequest) => Promise<TailResult>;
  readonly onClosed: () => void;
}

interface Reading {
  readonly topic: string;
  readonly partition: number;
  position: number;
  credit: number;
  started: boolean;
  running: boolean;
  /** Rises with every start: what an older read brings is dropped. */
  generation: number;
  abort: AbortController | undefined;
}

interface Revoking {
  readonly partitions: readonly TopicPartition[];
  readonly timer: Timer;
  readonly finish: () => void;
}

const readBytesMax = limits.tailBytesMax;
const readWaitMs = limits.tailWaitMsMax;
const revokeTimeoutMs = 10_000;
const retryMs = 100;

/** The only member of its group: it gets every partition of its topics. */
export class EmbeddedMember implements GroupMember {
  readonly #options: EmbeddedMemberOptions;
  readonly #held = new Map<string, Reading>();
  readonly #revoking = new Map<string, Revoking>();
  #topics: readonly string[];
  #told = false;
  #closing: Promise<void> | undefined;
  #leaving = false;
  #closed = false;

  constructor(options: EmbeddedMemberOptions) {
    this.#options = options;
    this.#topics = [...options.join.topics];
    queueMicrotask(() => this.look());
  }

  /** What it has now, for describe. */
  get partitions(): readonly TopicPartition[] {
    return [...this.#held.values()].map(({ topic, partition }) => ({ topic, partition }));
  }

  setTopics(topics: readonly string[]): void {
    if (this.#leaving) return;
    this.#topics = [...topics];
    const gone = this.partitions.filter(({ topic }) => !this.#topics.includes(topic));
    const left = gone.filter((place) => !this.#revoking.has(keyOf(place)));
    if (left.length > 0) void this.#revoke(left);
    this.look();
  }

  /** Takes what there is of its topics by now; also called when a topic was made. */
  look(): void {
    if (this.#leaving) return;
    const fresh: TopicPartition[] = [];
    for (const topic of this.#topics) {
      const partitions = this.#options.partitionsOf(topic);
      for (let partition = 0; partition < partitions; partition++) {
        const key = keyOf({ topic, partition });
        if (this.#held.has(key)) continue;
        fresh.push({ topic, partition });
        this.#held.set(key, newReading(topic, partition));
      }
    }
    if (fresh.length === 0 && this.#told) return;
    this.#told = true;
    this.#options.join.onAssigned(fresh);
  }

  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    const { join, lane } = this.#options;
    const commits = await lane.call('log.commits', { group: join.group });
    const known = new Map(commits.map((commit) => [keyOf(commit), commit]));
    return partitions.map(({ topic, partition }) => {
      const commit = known.get(keyOf({ topic, partition }));
      return { topic, partition, offset: commit?.offset, metadata: commit?.metadata ?? '' };
    });
  }

  async commit(entries: readonly OffsetCommit[]): Promise<void> {
    const { join, lane } = this.#options;
    checkCommits(entries);
    for (const entry of entries) {
      if (this.#held.has(keyOf(entry))) continue;
      const words = `${entry.topic}, partition ${entry.partition} is not this member's`;
      throw coded('FENCED', words);
    }
    await lane.call('log.commit', { group: join.group, commits: entries });
  }

  start(topic: string, partition: number, fromOffset: number): void {
    const reading = this.#held.get(keyOf({ topic, partition }));
    if (reading === undefined || this.#revoking.has(keyOf(reading))) return;
    stop(reading);
    reading.started = true;
    reading.position = fromOffset;
  }

  want(topic: string, partition: number, bytes: number): void {
    const reading = this.#held.get(keyOf({ topic, partition }));
    if (reading === undefined || !reading.started) return;
    reading.credit += bytes;
    if (reading.credit > 0 && !reading.running) void this.#run(reading);
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #leave(): Promise<void> {
    this.#leaving = true;
    const left = this.partitions.filter((place) => !this.#revoking.has(keyOf(place)));
    const waits = [...this.#revoking.values()].map(({ finish }) => finish);
    if (left.length > 0) await this.#revoke(left);
    for (const finish of waits) finish();
    this.#closed = true;
    this.#options.onClosed();
  }

  #revoke(partitions: readonly TopicPartition[]): Promise<void> {
    const { join, clock } = this.#options;
    const timeoutMs = join.revokeTimeoutMs ?? revokeTimeoutMs;
    return new Promise((resolve) => {
      const finish = (): void => {
        const [first] = partitions;
        if (first === undefined || this.#revoking.get(keyOf(first)) !== revoking) return;
        revoking.timer.cancel();
        for (const place of partitions) {
          this.#revoking.delete(keyOf(place));
          this.#held.delete(keyOf(place));
        }
        resolve();
        // A topic that was taken back meanwhile is there again.
        this.look();
      };
      const timer = clock.setTimer(() => {
        finish();
        join.onLost(partitions);
        const words = `partitions were not given up within ${timeoutMs} ms`;
        join.onError(coded('REVOKE_TIMEOUT', words), undefined);
      }, timeoutMs);
      const revoking: Revoking = { partitions, timer, finish };
      for (const place of partitions) {
        const reading = this.#held.get(keyOf(place));
        if (reading !== undefined) stop(reading);
        this.#revoking.set(keyOf(place), revoking);
      }
      join.onRevoking(partitions, finish);
    });
  }

  async #run(reading: Reading): Promise<void> {
    reading.running = true;
    const { generation } = reading;
    const isCurrent = () => reading.generation === generation && !this.#closed;
    while (reading.credit > 0 && isCurrent()) {
      try {
        const found = await this.#read(reading);
        if (!isCurrent()) return;
        this.#give(reading, found);
      } catch (error) {
        if (!isCurrent()) return;
        const { topic, partition } = reading;
        this.#options.join.onError(asCoded(error), { topic, partition });
        if (codeOf(error) === 'OFFSET_OUT_OF_RANGE') {
          stop(reading);
          return;
        }
        await this.#pause();
      }
    }
    if (isCurrent()) reading.running = false;
  }

  #read(reading: Reading): Promise<TailResult> {
    const { topic, partition, position } = reading;
    const abort = new AbortController();
    reading.abort = abort;
    return this.#options.read({
      topic,
      partition,
      from: tailFrom.offset,
      position,
      bytesMax: Math.min(reading.credit, readBytesMax),
      waitMs: readWaitMs,
      signal: abort.signal,
    });
  }

  #give(reading: Reading, found: TailResult): void {
    const { topic, partition } = reading;
    const { nextOffset, endOffset } = found;
    reading.position = nextOffset;
    if (found.count === 0) return;
    const { buffer, byteOffset, byteLength } = found.records;
    const records = Buffer.from(buffer, byteOffset, byteLength);
    reading.credit -= byteLength;
    const index = indexRecords(records);
    const { join } = this.#options;
    join.onRecords({ topic, partition, records, ...index, nextOffset, endOffset });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimer(resolve, retryMs);
    });
  }
}

function newReading(topic: string, partition: number): Reading {
  return {
    topic,
    partition,
    position: 0,
    credit: 0,
    started: false,
    running: false,
    generation: 0,
    abort: undefined,
  };
}

function stop(reading: Reading): void {
  reading.generation += 1;
  reading.abort?.abort();
  reading.abort = undefined;
  reading.started = false;
  reading.running = false;
  reading.credit = 0;
}

function asCoded(error: unknown): CodedError {
  return error instanceof CodedError ? error : coded(codeOf(error), messageOf(error));
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
