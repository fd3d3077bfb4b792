import { Counter, Gauge, type Registry } from 'prom-client';
import { limits } from '../base/limits.ts';
import type { ConsumeStats } from '../consume/partition/consume-stats.ts';
import type { ConsumePartition } from '../consume/partition/partition.ts';
import { addByCause } from './by-cause.ts';
import { histogramText, rowInSeconds } from './histogram-text.ts';

const PREFIX = 'mqproxy_';

/** What the metrics read of the engine. */
export interface ConsumeNumbers {
  readonly stats: ConsumeStats;
  readonly nowMs: number;
  readonly groups: ReadonlyMap<
    string,
    { readonly name: string; readonly subs: readonly unknown[] }
  >;
  owned(): Iterable<{
    readonly partition: MeasuredPartition;
    readonly group: { readonly name: string };
  }>;
}

type MeasuredPartition = Pick<
  ConsumePartition,
  'cluster' | 'topic' | 'lag' | 'floorSinceMs' | 'window' | 'commitFault'
>;
type Count = Exclude<keyof ConsumeStats, 'commitMs' | 'lost' | 'again' | 'ackMs' | 'attempts'>;

/** Name, help and where the engine counts it. */
const COUNTERS: readonly (readonly [name: string, help: string, count: Count])[] = [
  ['consume_delivered_messages_total', 'Deliveries, repeated ones included.', 'delivered'],
  ['consume_delivered_bytes_total', 'Bytes of delivered records.', 'deliveredBytes'],
  ['consume_acked_messages_total', 'Messages settled by an ack.', 'acked'],
  ['consume_acked_again_total', 'Acks of messages acked under the same token.', 'ackedAgain'],
  ['consume_nacked_messages_total', 'Deliveries that a consumer refused.', 'nacked'],
  ['consume_expired_leases_total', 'Leases that ran out.', 'expired'],
  ['consume_returned_leases_total', 'Leases given back by UNSUBSCRIBE.', 'returned'],
  ['consume_extended_leases_total', 'Leases that were extended.', 'extended'],
  ['consume_lost_leases_total', 'Messages named under a lease that was over.', 'leaseLost'],
  ['consume_bad_tokens_total', 'Tokens that no node made.', 'badTokens'],
  ['consume_foreign_tokens_total', 'Tokens of partitions that others own.', 'notOwner'],
  ['consume_duplicate_messages_total', 'Copies by id, not delivered.', 'duplicates'],
  ['consume_commits_total', 'Commits of groups.', 'commits'],
  ['consume_commit_failures_total', 'Commits that were not taken.', 'commitFailures'],
  ['consume_rebalances_total', 'Partitions came or went.', 'rebalances'],
  ['consume_damaged_maps_total', 'Ack maps that could not be read.', 'damagedMaps'],
];

const BY_CAUSE: readonly (readonly [name: string, help: string, count: 'lost' | 'again'])[] = [
  ['consume_lost_messages_total', 'Unfinished messages that were gone from the log.', 'lost'],
  ['consume_redelivered_messages_total', 'Deliveries of what had been given out.', 'again'],
];

interface Row {
  readonly labels: Record<string, string>;
  readonly partition: MeasuredPartition;
}

/** Name, help, and what a partition says of it; of several partitions the sum counts. */
const GAUGES: readonly (readonly [
  name: string,
  help: string,
  of: (partition: MeasuredPartition) => number,
])[] = [
  ['consume_lag_messages', 'Messages that are not finished.', (p) => p.lag],
  ['consume_in_flight_messages', 'Messages that are leased.', ({ window }) => window.leased],
  ['consume_window_messages', 'Fetched and unfinished.', ({ window }) => window.unfinished],
  ['consume_window_bytes', 'Payload in memory.', ({ window }) => window.bytes],
  ['consume_blocked_messages', 'Failed, and waiting.', ({ window }) => window.blocked],
  [
    'consume_commit_faults',
    'Partitions whose commits are not taken.',
    ({ commitFault }) => (commitFault === undefined ? 0 : 1),
  ],
  [
    'consume_map_messages',
    'Acked behind an unfinished message.',
    ({ window }) => window.merger.confirmedAbove,
  ],
];

/** Metrics of groups, labelled by group and topic of the busiest ones. */
export function consumeMetrics(registry: Registry, numbers: () => ConsumeNumbers): void {
  const registers = [registry];
  for (const [name, help, count] of COUNTERS) {
    new Counter({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(numbers().stats[count]);
      },
    });
  }
  new Counter({
    name: `${PREFIX}consume_commit_seconds_total`,
    help: 'Time that commits took, from their beginning to the answer.',
    registers,
    collect() {
      this.reset();
      this.inc(numbers().stats.commitMs / 1000);
    },
  });
  for (const [name, help, key] of BY_CAUSE) {
    addByCause(registry, { name: PREFIX + name, help, read: () => numbers().stats[key] });
  }
  partitionMetrics(registry, numbers);
}

/** Histograms of the engine, as text. */
export function consumeHistograms({ ackMs, attempts }: ConsumeStats): string {
  const words = 'From a delivery to its ack.';
  const latency = histogramText(`${PREFIX}consume_ack_seconds`, words, {
    bounds: ackMs.bounds.map((ms) => ms / 1000),
    rows: [rowInSeconds(ackMs)],
  });
  const tries = histogramText(`${PREFIX}consume_attempts`, 'Deliveries of acked messages.', {
    bounds: attempts.bounds,
    rows: [{ labels: '', buckets: attempts.buckets, sum: attempts.sum }],
  });
  return latency + tries;
}

function partitionMetrics(registry: Registry, numbers: () => ConsumeNumbers): void {
  const registers = [registry];
  const labelNames = ['cluster', 'group', 'topic'];
  for (const [name, help, of] of GAUGES) {
    new Gauge({
      name: PREFIX + name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { labels, partition } of rowsOf(numbers())) this.inc(labels, of(partition));
      },
    });
  }
  new Gauge({
    name: `${PREFIX}consume_floor_age_seconds`,
    help: 'Longest time that a committed floor stood still before an unfinished message.',
    labelNames,
    registers,
    collect() {
      this.reset();
      const nowMs = numbers().nowMs;
      const oldest = new Map<string, Row & { age: number }>();
      for (const row of rowsOf(numbers())) {
        const { partition } = row;
        const isOpen = partition.window.unfinished > 0;
        const age = isOpen ? (nowMs - partition.floorSinceMs) / 1000 : 0;
        const key = JSON.stringify(row.labels);
        if ((oldest.get(key)?.age ?? -1) < age) oldest.set(key, { ...row, age });
      }
      for (const { labels, age } of oldest.values()) this.set(labels, age);
    },
  });
  new Gauge({
    name: `${PREFIX}consume_subscriptions`,
    help: 'Subscriptions on this node.',
    labelNames: ['group'],
    registers,
    collect() {
      this.reset();
      let shown = 0;
      for (const group of numbers().groups.values()) {
        const label = shown++ < limits.metricTopicsMax ? group.name : 'other';
        this.inc({ group: label }, group.subs.length);
      }
    },
  });
}

function rowsOf(engine: ConsumeNumbers): Row[] {
  const names = new Set<string>();
  return [...engine.owned()].map(({ partition, group }) => {
    const name = `${group.name}/${partition.topic}`;
    if (names.size < limits.metricTopicsMax) names.add(name);
    const isShown = names.has(name);
    const labels = {
      cluster: String(partition.cluster),
      group: isShown ? group.name : 'other',
      topic: isShown ? partition.topic : 'other',
    };
    return { labels, partition };
  });
}
