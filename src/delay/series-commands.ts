import { DELAY_PARTITIONS, delayIdOfSeries } from '../../protocol/src/delay-id.ts';
import { DelayIdKind } from '../../protocol/src/generated.ts';
import type { RuleHeader } from '../../protocol/src/rule-header.ts';
import type { ScheduleSeries, SeriesInfo, SeriesPage } from '../../protocol/src/series.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { type Random, randomU64 } from '../base/random.ts';
import { DelayChanges } from './delay-changes.ts';
import type { DelayCluster } from './delay-cluster.ts';
import { type DelayRecord, readDelayRecord, targetOf, tombstone, topicOf } from './delay-record.ts';
import { delayTopic } from './delay-topic.ts';
import type { NearDelay } from './due-window.ts';
import { newSeriesRecord, ruleOf, seriesChanged, seriesOf } from './series-record.ts';
import { SeriesRule } from './series-rule.ts';
import type { Firing } from './series-times.ts';

/** What became of a command. */
export type SeriesOutcome = 'cancelled' | 'tooLate' | 'notFound';

/** Refuses who may not change a series for this topic, by throwing. */
export type MayChange = (topic: string) => void;

/** A series as it is asked for. Its bytes are owned. */
export type SeriesRequest = Omit<ScheduleSeries, 'key' | 'value'> & {
  readonly key?: Buffer;
  readonly value: Buffer | null;
};

/** What {@link SeriesCommands} are made of. */
export interface SeriesCommandsParts {
  readonly cluster: DelayCluster;
  readonly clock: Clock;
  readonly random: Random;
  /** Stands in what its series fire, as the node that took them. */
  readonly nodeId: bigint;
}

/** How long a command waits for a firing that is on its way, in ms. */
const WAIT_MS = 5_000;
const LOOK_MS = 10;
/** A page is short when its series take more bytes … */
const PAGE_BYTES_MAX = 256 * 1024;
/** … or when so many were looked at. */
const LOOKED_AT_MAX = 50_000;
const CURSOR = /^[0-9a-f]{48}$/;
/** Names drawn until one falls into a partition of this node. */
const DRAWS_MAX = 1_000;

/**
 * What clients ask of series, answered by their owner. A change is answered when the log has it and
 * it was applied here; it waits for a firing that is on its way.
 */
export class SeriesCommands {
  readonly #cluster: DelayCluster;
  readonly #changes: DelayChanges;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #nodeId: bigint;

  constructor({ cluster, clock, random, nodeId }: SeriesCommandsParts) {
    this.#cluster = cluster;
    this.#changes = new DelayChanges(cluster, clock);
    this.#clock = clock;
    this.#random = random;
    this.#nodeId = nodeId;
  }

  /**
   * Begins a series; one of the same name is replaced, and does not fire any more.
   * @throws INVALID_ARGUMENT in words; NOT_OWNER, RETRY_LATER, BACKEND_UNAVAILABLE
   */
  async schedule(
    request: SeriesRequest,
    mayChange: MayChange,
  ): Promise<{ readonly series: string; readonly nextMs: number }> {
    const { topic, key, value } = request;
    const series = request.series ?? this.#newName();
    const bytes = Buffer.byteLength(series);
    if (bytes < 1 || bytes > limits.seriesNameBytesMax) {
      const words = `the name of a series has 1 to ${limits.seriesNameBytesMax} bytes`;
      throw coded('INVALID_ARGUMENT', words);
    }
    this.#firstOf(request);
    const id = delayIdOfSeries(series);
    const held = await this.#hold(id);
    try {
      if (held !== undefined) mayChange(targetTopicOf(held));
      const acceptedMs = this.#clock.now();
      const first = this.#firstOf(request);
      const record = newSeriesRecord(delayTopic, {
        id,
        header: headerOf(series, request),
        topic,
        key,
        value,
        producerId: randomU64(this.#random),
        originNode: this.#nodeId,
        acceptedMs,
        first,
      });
      await this.#changes.write(record);
      return { series, nextMs: first.dueMs };
    } finally {
      if (held !== undefined) this.#changes.release(held);
    }
  }

  /** Whether a series of this name stands. @throws as schedule */
  async has(series: string): Promise<boolean> {
    return (await this.#changes.find(delayIdOfSeries(series)))?.target !== undefined;
  }

  /** Ends a series. @throws as schedule */
  async cancel(series: string, mayChange: MayChange): Promise<SeriesOutcome> {
    return this.#change(series, mayChange, async (held) => {
      await this.#changes.write(tombstone(delayTopic, held.id));
      this.#cluster.stats.cancelled++;
      return 'cancelled';
    });
  }

  /** Cancels one firing; the others keep their numbers. @throws as schedule; INVALID_ARGUMENT */
  cancelFiring(series: string, number: number, mayChange: MayChange): Promise<SeriesOutcome> {
    return this.#change(series, mayChange, async (held) => {
      const changed = withoutFiring(readDelayRecord(held.bytes) as DelayRecord, number);
      if (typeof changed === 'string') return changed;
      await this.#changes.write(changed);
      this.#cluster.stats.cancelled++;
      return 'cancelled';
    });
  }

  /** Series of this node's partitions, in the order of their ids. */
  async list(query: {
    readonly limit: number;
    readonly cursor?: string;
    readonly mayRead: (topic: string) => boolean;
  }): Promise<SeriesPage> {
    this.#cluster.mustBeWhole();
    const { limit, cursor, mayRead } = query;
    if (cursor !== undefined && !CURSOR.test(cursor)) {
      throw coded('INVALID_ARGUMENT', 'the cursor is not one that a list gave');
    }
    let after = cursor === undefined ? undefined : Buffer.from(cursor, 'hex');
    const series: SeriesInfo[] = [];
    let size = 0;
    let looked = 0;
    for (let partition = after?.[1] ?? 0; partition < DELAY_PARTITIONS; partition++) {
      if (!this.#cluster.isOwn(partition)) continue;
      const from = after?.[1] === partition ? after : undefined;
      const found = this.#cluster.index.ofKind(partition, DelayIdKind.SERIES, from);
      for await (const { id, bytes } of found) {
        if (series.length === limit || size > PAGE_BYTES_MAX || looked === LOOKED_AT_MAX) {
          return { series, cursor: (after as Buffer).toString('hex') };
        }
        after = Buffer.from(id);
        looked++;
        const record = readDelayRecord(bytes);
        if (record?.target === undefined || !mayRead(topicOf(record.target))) continue;
        const info = describe(record);
        if (info === undefined) continue;
        series.push(info);
        size += record.bytes.length - record.value.length;
      }
    }
    return { series };
  }

  async #change(
    series: string,
    mayChange: MayChange,
    work: (held: NearDelay) => Promise<SeriesOutcome>,
  ): Promise<SeriesOutcome> {
    const held = await this.#hold(delayIdOfSeries(series));
    if (held === undefined) return 'notFound';
    try {
      mayChange(targetTopicOf(held));
      return await work(held);
    } finally {
      this.#changes.release(held);
    }
  }

  /** Holds a series; undefined: there is none. One that fires is waited for. */
  async #hold(id: Buffer): Promise<NearDelay | undefined> {
    const endMs = this.#clock.monotonic() + WAIT_MS;
    for (;;) {
      const found = await this.#changes.hold(id);
      if (found === 'notFound') return undefined;
      if (typeof found !== 'string') return found;
      if (this.#clock.monotonic() >= endMs) {
        throw coded('RETRY_LATER', 'a firing of the series is on its way, or another command', {
          retryAfterMs: 1_000,
        });
      }
      await sleep(this.#clock, LOOK_MS);
    }
  }

  #firstOf(request: SeriesRequest): Firing {
    const { untilMs } = request;
    const now = this.#clock.now();
    if (untilMs !== undefined && untilMs <= now) {
      const words = `untilMs ${untilMs} is over: it is ${now} by this node's clock`;
      throw coded('INVALID_ARGUMENT', words);
    }
    const first = new SeriesRule(headerOf('', request), now).first();
    if (first !== undefined) return first;
    const end = untilMs === undefined ? 'the year 10000' : `untilMs ${untilMs}`;
    throw coded('INVALID_ARGUMENT', `the series would never fire: no time of it is before ${end}`);
  }

  #newName(): string {
    for (let draw = 0; draw < DRAWS_MAX; draw++) {
      const name = `s-${randomU64(this.#random).toString(16).padStart(16, '0')}`;
      if (this.#cluster.isReady(delayIdOfSeries(name)[1] as number)) return name;
    }
    throw coded('RETRY_LATER', 'this node has no partition of the delay log yet');
  }
}

/** The topic of a series that is held; one that is far has it in its record alone. */
function targetTopicOf({ bytes }: NearDelay): string {
  return topicOf(readDelayRecord(bytes)?.target as Buffer);
}

function headerOf(series: string, request: SeriesRequest): RuleHeader {
  const { every, missed = 'once', count, untilMs } = request;
  return {
    series,
    every,
    missed,
    fired: 0,
    ...(count === undefined ? {} : { count }),
    ...(untilMs === undefined ? {} : { untilMs }),
  };
}

/** The record of a series of which one firing is cancelled, or why it is not changed. */
function withoutFiring(record: DelayRecord, number: number) {
  const { header, rule, stands } = seriesOf(record);
  const { cancelled = [], count } = header;
  if (number < stands.number) return 'tooLate';
  if (count !== undefined && number > count) return 'notFound';
  if (number === stands.number)
    return seriesChanged(delayTopic, record, header, rule.after(stands));
  if (cancelled.includes(number)) return 'cancelled';
  if (cancelled.length >= limits.seriesCancelledMax) {
    const words = `${limits.seriesCancelledMax} firings of this series are cancelled already`;
    throw coded('INVALID_ARGUMENT', words);
  }
  const sorted = [...cancelled, number].sort((a, b) => a - b);
  return seriesChanged(delayTopic, record, { ...header, cancelled: sorted }, stands);
}

/** Undefined for one of a newer node, which cannot be read here. */
function describe(record: DelayRecord): SeriesInfo | undefined {
  const header = ruleOf(record);
  if (header === undefined) return undefined;
  const { topic, key, id } = targetOf(record);
  const { series, every, fired, missed, count, untilMs, cancelled } = header;
  return {
    series,
    topic,
    every,
    fired,
    nextMs: id.dueMs,
    nextNumber: id.sequence,
    missed,
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    ...(count === undefined ? {} : { count }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(cancelled === undefined ? {} : { cancelled }),
  };
}
