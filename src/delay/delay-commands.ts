import { formatDelayId } from '../../protocol/src/delay-id.ts';
import { DUE_HORIZON_MS } from '../../protocol/src/due.ts';
import { DelayIdKind } from '../../protocol/src/generated.ts';
import { formatMessageId } from '../../protocol/src/message-id.ts';
import type { Cluster } from '../backend/consumer-port.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { coded, codeOf } from '../base/errors.ts';
import { DelayChanges, type Standing } from './delay-changes.ts';
import type { DelayCluster } from './delay-cluster.ts';
import { dueKey } from './delay-index.ts';
import {
  type DelayRecord,
  delayRecord,
  isSameMessage,
  movedTarget,
  nameOf,
  peekTopic,
  readDelayRecord,
  targetOf,
  tombstone,
  topicOf,
} from './delay-record.ts';
import { delayTopic } from './delay-topic.ts';
import type { NearDelay } from './due-window.ts';
import { LateCommands } from './late-commands.ts';
import { isSeriesId, ruleOf } from './series-record.ts';

/** A delayed message as commands show it. */
export interface DelayedMessage {
  readonly id: string;
  readonly topic: string;
  readonly key?: Buffer;
  readonly partition?: number;
  readonly dueMs: number;
  readonly acceptedMs: number;
  readonly messageId: string;
  readonly valueBytes: number;
  readonly value?: Buffer | null;
  readonly cluster: number;
  /** It is the next firing of this series. */
  readonly series?: string;
}

/** What became of a command. */
export type DelayOutcome = 'cancelled' | 'moved' | 'tooLate' | 'notFound';

/** Which messages are listed. */
export interface DelayQuery {
  readonly topic?: string;
  /** Due from, in unix ms. */
  readonly fromMs?: number;
  /** Due before, in unix ms. */
  readonly toMs?: number;
  readonly limit: number;
  /** Where a page before ended. */
  readonly cursor?: string;
}

/** What a node knows of its delayed messages. */
export interface DelayCounts {
  /** Messages that wait in this node's partitions, or of the topic asked. */
  readonly pending: number;
  /** Of a topic: there may be more, for the count took too long and was ended. */
  readonly atLeast?: boolean;
  readonly nextDueMs?: number;
  /** Topics that do not take what is due, some of them; absent: there is none. */
  readonly stuckTopics?: readonly string[];
  /** Held in memory. */
  readonly near: number;
  /** Due, and not published yet. */
  readonly queued: number;
  readonly fired: number;
  readonly early: number;
  readonly late: number;
  readonly cancelled: number;
  readonly moved: number;
  readonly refused: number;
  readonly seriesFired: number;
  readonly seriesMissed: number;
  readonly partitions: number;
  readonly ready: number;
}

type PendingOf = Pick<DelayCounts, 'pending' | 'atLeast' | 'nextDueMs'>;

/** A page of messages, by due time. */
export interface DelayPage {
  readonly delays: readonly DelayedMessage[];
  /** Where the next page begins; absent: this was the last. */
  readonly cursor?: string;
}

/** Topics that are named at most. */
const STUCK_NAMED_MAX = 100;
/** A move is written so often at most, when other records of its message come before it. */
const MOVES_MAX = 10;
/** Index entries looked at for one page; a page may so be short though more follows. */
const LOOKED_AT_MAX = 50_000;
/** Lines that are counted in one turn of the event loop, and how long others have it then. */
const LINES_PER_TURN = 1_000;
const TURN_MS = 1;
/** After so long a count is ended. */
const COUNT_MS = 2_000;
const TIME_MAX = 2 ** 48 - 1;
const CURSOR = /^[0-9a-f]{68}$/;

/**
 * What clients ask of delayed messages, answered by their owner. A change is answered when the log
 * has it and it was applied here; while it is on its way the message cannot fire.
 */
export class DelayCommands {
  readonly #cluster: DelayCluster;
  readonly #changes: DelayChanges;
  readonly #clock: Clock;
  readonly #number: Cluster;
  readonly #late: LateCommands<DelayOutcome>;

  /** @param number of the cluster whose delay log it is */
  constructor(cluster: DelayCluster, clock: Clock, number: Cluster = 0) {
    this.#cluster = cluster;
    this.#changes = new DelayChanges(cluster, clock);
    this.#clock = clock;
    this.#number = number;
    this.#late = new LateCommands(
      clock,
      (outcome) => outcome === 'notFound' || outcome === 'tooLate',
    );
  }

  async get(id: Buffer): Promise<DelayedMessage | undefined> {
    const record = await this.#changes.find(id);
    return record === undefined ? undefined : this.#describe(record, true);
  }

  /**
   * @throws NOT_SUPPORTED for a message on a fixed level and a series; BACKEND_UNAVAILABLE, after
   * five seconds at the latest: it may be done yet, and the same command says so when given again
   */
  cancel(id: Buffer): Promise<DelayOutcome> {
    return this.#late.run(`cancel ${nameOf(id)}`, () => this.#cancel(id));
  }

  /**
   * `moved`: what was held stands at the new time.
   * @throws as cancel; BEYOND_HORIZON, INVALID_ARGUMENT; RETRY_LATER when another message took the
   * place of its key meanwhile
   */
  move(id: Buffer, dueMs: number): Promise<DelayOutcome> {
    return this.#late.run(`move ${nameOf(id)} ${dueMs}`, () => this.#move(id, dueMs));
  }

  #cancel(id: Buffer): Promise<DelayOutcome> {
    return this.#change(id, 'place', async (held) => {
      await this.#changes.write(tombstone(delayTopic, held.id));
      this.#cluster.stats.cancelled++;
      return 'cancelled';
    });
  }

  #move(id: Buffer, toMs: number): Promise<DelayOutcome> {
    checkNewDue(toMs, this.#clock.now());
    const dueMs = Math.floor(toMs);
    return this.#change(id, 'record', async (held) => {
      let stands: Standing = held;
      for (let tries = 0; tries < MOVES_MAX; tries++) {
        const record = readDelayRecord(stands.bytes) as DelayRecord;
        const target = movedTarget(record.target as Buffer, dueMs);
        await this.#changes.write(delayRecord(delayTopic, record, target, stands));
        // Behind a copy of its message, or what its owner wrote again, the record is dropped.
        const now = await this.#changes.standing(held);
        if (now === undefined) return 'notFound';
        if (!isSameMessage(record, readDelayRecord(now.bytes) as DelayRecord)) break;
        if (now.dueMs === dueMs) {
          this.#cluster.stats.moved++;
          return 'moved';
        }
        stands = now;
      }
      throw coded('RETRY_LATER', 'another record took its place in the delay log meanwhile');
    });
  }

  async list(query: DelayQuery): Promise<DelayPage> {
    this.#cluster.mustBeWhole();
    const { topic, fromMs = 0, toMs = TIME_MAX, limit, cursor } = query;
    if (cursor !== undefined && !CURSOR.test(cursor)) {
      throw coded('INVALID_ARGUMENT', 'the cursor is not one that a list gave');
    }
    const start = cursor === undefined ? dueKey(fromMs, undefined) : Buffer.from(cursor, 'hex');
    const delays: DelayedMessage[] = [];
    let looked = 0;
    let last: Buffer | undefined;
    const range = { from: start, to: dueKey(toMs, undefined) };
    for await (const { id, dueMs, bytes } of this.#cluster.index.between(range)) {
      if (delays.length === limit || looked === LOOKED_AT_MAX) {
        return { delays, cursor: (last as Buffer).toString('hex') };
      }
      looked++;
      last = Buffer.concat([dueKey(dueMs, id), Buffer.of(0)]);
      const record = readDelayRecord(bytes);
      if (record?.target === undefined || !this.#changes.isPending(id)) continue;
      const delay = this.#listed(record);
      if (delay !== undefined && (topic === undefined || delay.topic === topic)) delays.push(delay);
    }
    return { delays };
  }

  /** Whether nothing of its partition is in the log, whoever fires it. @throws as get */
  isEmpty(id: Buffer): Promise<boolean> {
    return this.#changes.isEmpty(id[1] as number);
  }

  /** The topic a message is for; undefined: it does not wait here. */
  async topicOf(id: Buffer): Promise<string | undefined> {
    const record = await this.#changes.find(id);
    return record?.target === undefined ? undefined : topicOf(record.target);
  }

  /** Counts; what waits for a topic is counted line by line, for two seconds at most. */
  async stats(topic?: string): Promise<DelayCounts> {
    const { stats, loop, partitions } = this.#cluster;
    const pending = topic === undefined ? await this.#countAll() : await this.#countOf(topic);
    const stuck = loop.stuckTopics.filter((name) => topic === undefined || name === topic);
    return {
      ...pending,
      ...(stuck.length === 0 ? {} : { stuckTopics: stuck.slice(0, STUCK_NAMED_MAX) }),
      near: loop.window.size,
      queued: loop.queued,
      fired: stats.fired,
      early: stats.early,
      late: stats.late,
      cancelled: stats.cancelled,
      moved: stats.moved,
      refused: stats.refused,
      seriesFired: stats.seriesFired,
      seriesMissed: stats.seriesMissed,
      partitions: partitions.own,
      ready: partitions.ready,
    };
  }

  async #countAll(): Promise<PendingOf> {
    const { delays } = await this.list({ limit: 1 });
    const first = delays[0];
    const { pending } = this.#cluster;
    return { pending, ...(first === undefined ? {} : { nextDueMs: first.dueMs }) };
  }

  async #countOf(topic: string): Promise<PendingOf> {
    this.#cluster.mustBeWhole();
    const endMs = this.#clock.monotonic() + COUNT_MS;
    const range = { from: dueKey(0, undefined), to: dueKey(TIME_MAX, undefined) };
    let looked = 0;
    let pending = 0;
    let next: { readonly nextDueMs?: number } = {};
    for await (const { id, dueMs, bytes } of this.#cluster.index.between(range)) {
      if (looked > 0 && looked % LINES_PER_TURN === 0) {
        if (this.#clock.monotonic() >= endMs) return { pending, atLeast: true, ...next };
        await sleep(this.#clock, TURN_MS);
      }
      looked++;
      if (peekTopic(bytes) !== topic || !this.#changes.isPending(id)) continue;
      if (pending++ === 0) next = { nextDueMs: dueMs };
    }
    return { pending, ...next };
  }

  /** Keeps a message from firing while it is changed. */
  async #change(
    id: Buffer,
    needs: 'record' | 'place',
    work: (held: NearDelay) => Promise<DelayOutcome>,
  ): Promise<DelayOutcome> {
    checkChangeable(id);
    const found = await this.#changes.hold(id, needs);
    if (found === 'busy') {
      throw coded('RETRY_LATER', 'another command for this message is on its way');
    }
    if (found === 'tooLate') this.#cluster.stats.tooLate++;
    if (typeof found === 'string') return found;
    try {
      return await work(found);
    } finally {
      // What was applied took its place already; else it waits as before.
      this.#changes.release(found);
    }
  }

  /** Undefined for what somebody else wrote, or a newer version: it hides no other. */
  #listed(record: DelayRecord): DelayedMessage | undefined {
    try {
      return this.#describe(record, false);
    } catch (error) {
      if (codeOf(error) === 'STORE_CORRUPT') return undefined;
      throw error;
    }
  }

  #describe(record: DelayRecord, whole: boolean): DelayedMessage {
    const { topic, key, partition, nullValue, id } = targetOf(record);
    const series = ruleOf(record)?.series;
    return {
      id: formatDelayId(record.id),
      topic,
      ...(key === undefined ? {} : { key: Buffer.from(key) }),
      ...(partition === undefined ? {} : { partition }),
      dueMs: id.dueMs,
      acceptedMs: id.acceptedMs,
      messageId: formatMessageId(id),
      valueBytes: record.value.length,
      ...(whole ? { value: nullValue ? null : Buffer.from(record.value) } : {}),
      cluster: this.#number,
      ...(series === undefined ? {} : { series }),
    };
  }
}

/** @throws NOT_SUPPORTED for what is neither cancelled nor moved: messages on a level, series */
export function checkChangeable(id: Buffer): void {
  if (id[2] === DelayIdKind.LEVEL) {
    throw coded('NOT_SUPPORTED', 'a message on a fixed level cannot be cancelled or moved');
  }
  if (isSeriesId(id)) {
    const words = 'this is a series: cancel it, or one of its firings, by CANCEL_SERIES';
    throw coded('NOT_SUPPORTED', `${words} (mqproxy delay series cancel NAME)`);
  }
}

/** @throws INVALID_ARGUMENT for what is no time; BEYOND_HORIZON */
export function checkNewDue(dueMs: number, nowMs: number): void {
  if (!(dueMs >= 0)) {
    const words = `the new due time is ${dueMs}: it is in milliseconds since 1970, 0 or more`;
    throw coded('INVALID_ARGUMENT', words);
  }
  if (dueMs > nowMs + DUE_HORIZON_MS) {
    throw coded('BEYOND_HORIZON', 'the new due time is more than 400 days ahead');
  }
}
