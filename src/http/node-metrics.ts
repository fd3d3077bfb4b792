import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { ERROR_TABLE } from '../../protocol/src/generated.ts';
import { limits } from '../base/limits.ts';
import {
  BATCH_BUCKETS,
  DELIVERY_BUCKETS_MS,
  FSYNC_BUCKETS_MS,
  type LaneStats,
  stat,
} from '../produce/intake/lane-stats.ts';
import { type ConsumeNumbers, consumeHistograms, consumeMetrics } from './consume-metrics.ts';
import { addDeadLetterMetrics, type DeadLetterReport } from './dead-letter-metrics.ts';
import { addDelayMetrics, type DelayReport, delayHistogram } from './delay-metrics.ts';
import { histogramText } from './histogram-text.ts';
import { TopicLabels } from './topic-labels.ts';

/** What the listener counts. */
export interface ListenerNumbers {
  readonly connections: number;
  readonly inFlightMessages: number;
  readonly inFlightBytes: number;
  readonly accepted: number;
  readonly violations: number;
}

/** Where the numbers come from. All are read when a scrape comes, never pushed. */
export interface MetricSources {
  readonly lanes: readonly LaneStats[];
  server(): ListenerNumbers;
  topics(): readonly { readonly id: number; readonly name: string }[];
  backendReachable(): boolean;
  readonly deadLetters: DeadLetterReport;
  /** Absent without a backup cluster. */
  clusters?(): { readonly isOpen: readonly boolean[]; readonly switches: number } | undefined;
  readonly consume: () => ConsumeNumbers;
  /** Of each cluster; none: there is no delay role. */
  delays(): readonly DelayReport[];
}

const PREFIX = 'mqproxy_';

/** Name, help and lane counter of what is a plain sum over lanes. */
const LANE_COUNTERS: readonly (readonly [name: string, help: string, stat: number])[] = [
  ['messages_stored_total', 'Messages made durable on this node.', stat.stored],
  ['bytes_stored_total', 'Bytes of messages made durable.', stat.storedBytes],
  ['batches_stored_total', 'Micro-batches, one fsync each.', stat.batches],
  ['messages_sent_total', 'Messages handed to the backend.', stat.sent],
  ['messages_confirmed_total', 'Messages the backend has confirmed.', stat.confirmed],
  [
    'messages_confirmed_backup_total',
    'Those of them that the backup cluster has.',
    stat.confirmedBackup,
  ],
  [
    'messages_duplicate_total',
    'Resends of known messages, answered and not stored.',
    stat.duplicates,
  ],
  ['messages_undeliverable_total', 'Messages the backend refused for good.', stat.undeliverable],
  ['messages_resent_total', 'Messages the node sent again by itself.', stat.resent],
  [
    'resend_notes_late_total',
    'Notes of resends that were not on the disk before the sending.',
    stat.resendNotesLate,
  ],
  ['messages_parked_total', 'Messages moved to the parked log.', stat.parked],
  ['messages_unparked_total', 'Messages delivered out of the parked log.', stat.unparked],
  ['store_failures_total', 'Errors of the disk under a lane.', stat.storeFailures],
];

const LANE_GAUGES: readonly (readonly [name: string, help: string, stat: number])[] = [
  ['outbox_bytes', 'Bytes that wait in the outbox.', stat.outboxBytes],
  ['outbox_messages', 'Messages that wait in the outbox.', stat.outboxMessages],
  ['undeliverable_messages', 'Messages in the undeliverable log.', stat.undeliverableMessages],
  ['undeliverable_bytes', 'What the undeliverable log counts.', stat.undeliverableBytes],
  ['parked_messages', 'Messages in the parked log.', stat.parkedMessages],
  ['parked_bytes', 'What the parked log counts.', stat.parkedBytes],
  ['parked_topics', 'Topics of which messages are parked.', stat.parkedTopics],
  ['aside_full', '1 the undeliverable log is full, 2 the parked log, 3 both.', stat.asideFull],
  ['backend_in_flight_messages', 'Messages handed over without a verdict.', stat.inFlight],
  ['deferred_topics', 'Topics that are behind the rest.', stat.deferredTopics],
  [
    'drain_limit_bytes_per_second',
    'What of the backlog may be sent a second, 0: no limit.',
    stat.drainBytesPerSecond,
  ],
  ['cluster_in_use', 'Where the lane sends to: 0 the primary cluster, 1 the backup.', stat.cluster],
  ['producers', 'Producers whose window is kept.', stat.producers],
  ['sessions', 'Sessions bound to the lane.', stat.sessions],
  ['lane_state', '0 serving, 1 opening its store again, 2 out of service, 3 full.', stat.laneState],
  ['outbox_pressure', '0 none, 1 soft mark, 2 hard mark.', stat.pressure],
];

/** The node's metrics in Prometheus' text format; see docs/operating.md for the table. */
export class NodeMetrics {
  private readonly registry = new Registry();
  private readonly sources: MetricSources;

  constructor(sources: MetricSources) {
    this.sources = sources;
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX });
    this.laneMetrics();
    this.serverMetrics();
    this.topicMetrics();
    addDeadLetterMetrics(this.registry, sources.deadLetters);
    this.clusterMetrics();
    consumeMetrics(this.registry, sources.consume);
    addDelayMetrics(this.registry, () => sources.delays());
  }

  /** Everything, as text with histograms appended. */
  async text(): Promise<{ type: string; text: string }> {
    const text = await this.registry.metrics();
    return { type: this.registry.contentType, text: text + this.histograms() };
  }

  private clusterMetrics(): void {
    const { sources } = this;
    const registers = [this.registry];
    new Gauge({
      name: `${PREFIX}circuit_open`,
      help: '1 while the circuit of a cluster is open: nothing is sent to it.',
      labelNames: ['cluster'],
      registers,
      collect() {
        const [primary = false, backup = false] = sources.clusters?.()?.isOpen ?? [];
        this.set({ cluster: 'primary' }, Number(primary));
        this.set({ cluster: 'backup' }, Number(backup));
      },
    });
    new Counter({
      name: `${PREFIX}cluster_switches_total`,
      help: 'Changes of the cluster in use.',
      registers,
      collect() {
        this.reset();
        this.inc(sources.clusters?.()?.switches ?? 0);
      },
    });
  }

  private laneMetrics(): void {
    const { lanes } = this.sources;
    const registers = [this.registry];
    const labelNames = ['lane'];
    for (const [name, help, at] of LANE_COUNTERS) {
      new Counter({
        name: PREFIX + name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          lanes.forEach((lane, i) => {
            this.inc({ lane: String(i) }, lane.get(at));
          });
        },
      });
    }
    for (const [name, help, at] of LANE_GAUGES) {
      new Gauge({
        name: PREFIX + name,
        help,
        labelNames,
        registers,
        collect() {
          lanes.forEach((lane, i) => {
            this.set({ lane: String(i) }, lane.get(at));
          });
        },
      });
    }
    this.ageAndUse();
    new Counter({
      name: `${PREFIX}messages_refused_total`,
      help: 'Messages refused, by error code.',
      labelNames: ['code'],
      registers,
      collect() {
        this.reset();
        for (const { code, name } of ERROR_TABLE) {
          const count = lanes.reduce((sum, lane) => sum + lane.refusedBy(code), 0);
          if (count > 0) this.inc({ code: name }, count);
        }
      },
    });
  }

  private ageAndUse(): void {
    const { lanes } = this.sources;
    const registers = [this.registry];
    const labelNames = ['lane'];
    new Gauge({
      name: `${PREFIX}outbox_oldest_timestamp_seconds`,
      help: 'When the oldest message that waits was accepted; 0 when none waits.',
      labelNames,
      registers,
      collect() {
        lanes.forEach((lane, i) => {
          this.set({ lane: String(i) }, lane.get(stat.outboxOldestMs) / 1000);
        });
      },
    });
    new Counter({
      name: `${PREFIX}lane_busy_seconds_total`,
      help: 'Time a lane spent deciding and encoding, without waiting for its disk.',
      labelNames,
      registers,
      collect() {
        this.reset();
        lanes.forEach((lane, i) => {
          this.inc({ lane: String(i) }, lane.get(stat.busyMs) / 1000);
        });
      },
    });
    new Gauge({
      name: `${PREFIX}disk_free_bytes`,
      help: 'Free bytes of the volume of the data folder.',
      registers,
      collect() {
        this.set(lanes[0]?.get(stat.diskFreeBytes) ?? 0);
      },
    });
  }

  private serverMetrics(): void {
    const { sources } = this;
    const gauges: readonly (readonly [string, string, keyof ListenerNumbers])[] = [
      ['connections', 'Open connections.', 'connections'],
      ['in_flight_messages', 'Messages without an answer.', 'inFlightMessages'],
      ['in_flight_bytes', 'Bytes of messages without an answer.', 'inFlightBytes'],
    ];
    const counters: readonly (readonly [string, string, keyof ListenerNumbers])[] = [
      ['connections_accepted_total', 'Connections accepted.', 'accepted'],
      ['connections_violated_total', 'Connections closed for breaking a rule.', 'violations'],
    ];
    const registers = [this.registry];
    for (const [name, help, field] of gauges) {
      new Gauge({
        name: PREFIX + name,
        help,
        registers,
        collect() {
          this.set(sources.server()[field]);
        },
      });
    }
    for (const [name, help, field] of counters) {
      new Counter({
        name: PREFIX + name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(sources.server()[field]);
        },
      });
    }
    new Gauge({
      name: `${PREFIX}backend_reachable`,
      help: '1 while the backend answers.',
      registers,
      collect() {
        this.set(sources.backendReachable() ? 1 : 0);
      },
    });
  }

  private topicMetrics(): void {
    const { sources } = this;
    const labels = new TopicLabels(limits.metricTopicsMax);
    new Counter({
      name: `${PREFIX}topic_messages_stored_total`,
      help: `Messages made durable, for ${limits.metricTopicsMax} topics; the rest is other.`,
      labelNames: ['topic'],
      registers: [this.registry],
      collect() {
        this.reset();
        const counts = sources.topics().map(({ id, name }) => ({
          name,
          count: sources.lanes.reduce((sum, lane) => sum + lane.storedTopic(id), 0),
        }));
        for (const [topic, count] of labels.add(counts)) this.inc({ topic }, count);
      },
    });
  }

  /** Histograms whose buckets are filled already. */
  private histograms(): string {
    const { lanes, consume, delays } = this.sources;
    const rows = (
      bucketsOf: (lane: LaneStats) => Float64Array,
      sumOf: (lane: LaneStats) => number,
    ) =>
      lanes.map((lane, i) => ({
        labels: `lane="${i}"`,
        buckets: bucketsOf(lane),
        sum: sumOf(lane),
      }));
    const seconds = FSYNC_BUCKETS_MS.map((ms) => ms / 1000);
    const fsync = histogramText(`${PREFIX}fsync_seconds`, 'Time of one durable write.', {
      bounds: seconds,
      rows: rows(
        (lane) => lane.fsyncBuckets(),
        (lane) => lane.get(stat.fsyncSumMs) / 1000,
      ),
    });
    const batch = histogramText(`${PREFIX}batch_messages`, 'Messages of one micro-batch.', {
      bounds: BATCH_BUCKETS,
      rows: rows(
        (lane) => lane.batchBuckets(),
        (lane) => lane.get(stat.stored),
      ),
    });
    const words = 'From the ring to the answers `stored`.';
    const answer = histogramText(`${PREFIX}answer_seconds`, words, {
      bounds: seconds,
      rows: rows(
        (lane) => lane.answerBuckets(),
        (lane) => lane.get(stat.answerSumMs) / 1000,
      ),
    });
    const way = histogramText(`${PREFIX}delivery_seconds`, "From acceptance to Kafka's verdict.", {
      bounds: DELIVERY_BUCKETS_MS.map((ms) => ms / 1000),
      rows: rows(
        (lane) => lane.deliveryBuckets(),
        (lane) => lane.get(stat.deliverySumMs) / 1000,
      ),
    });
    const lane = fsync + batch + answer + way;
    return lane + consumeHistograms(consume().stats) + delayHistogram(delays());
  }
}
