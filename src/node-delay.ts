import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DELAY_PARTITIONS } from '../protocol/src/delay-id.ts';
import type { Cluster } from './backend/consumer-port.ts';
import { primaryCluster, type TopicBook } from './backend/topic-book.ts';
import { sleep, systemClock } from './base/clock.ts';
import { type CodedError, coded, codeOf, messageOf } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import { systemRandom } from './base/random.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import type { Config } from './config/schema.ts';
import { DelayCluster } from './delay/delay-cluster.ts';
import { DelayCommands } from './delay/delay-commands.ts';
import { DelayIndex } from './delay/delay-index.ts';
import { type DelaySite, nameOf } from './delay/delay-sites.ts';
import { DelayStats } from './delay/delay-stats.ts';
import { delayTopic, delayTopicSpec } from './delay/delay-topic.ts';
import { SeriesCommands } from './delay/series-commands.ts';
import type { DelayReport } from './http/delay-metrics.ts';
import type { NodeLanes } from './node-lanes.ts';
import type { NodeTopics } from './server/node-topics.ts';
import { isCorruption } from './store/mapped-errors.ts';
import { openKeyValueStore } from './store/open-key-value-store.ts';

/** What {@link NodeDelay} needs. Lanes and backend are open. */
export interface NodeDelayParts {
  readonly config: Config;
  readonly manifest: { readonly nodeId: string };
  readonly log: Logger;
  readonly lanes: Pick<NodeLanes, 'links'>;
  readonly topics: NodeTopics;
  readonly catalog: TopicBook;
  /** Of the one cluster; its publisher is the role's own. */
  readonly ports: ClusterPorts;
  /** The delay log is as it must be; the node's number for its topic. */
  onTaken(topic: number): Promise<void>;
  /** It is not, and will not be until the node is started again. */
  onRefused(): Promise<void>;
}

/** Between two looks whether the cluster is there, in ms. */
const AGAIN_MS = 2_000;
const noStats = new DelayStats();

/**
 * Delayed messages of a node on one cluster. While the cluster is away, or when its delay log is
 * not as it must be, the node serves without them: they are refused, and the log says why.
 */
export class NodeDelay implements DelaySite {
  readonly #parts: NodeDelayParts;
  #cluster: DelayCluster | undefined;
  #commands: DelayCommands | undefined;
  #series: SeriesCommands | undefined;
  #opening: Promise<unknown> | undefined;
  #ending: Promise<void> = Promise.resolve();
  #refusal: string | undefined;
  #closed = false;

  constructor(parts: NodeDelayParts) {
    this.#parts = parts;
  }

  /** Of its cluster. */
  get number(): Cluster {
    return this.#parts.ports.consumers.cluster;
  }

  /** The delay log; undefined as long as the role is not open. */
  get log(): string | undefined {
    return this.#commands === undefined ? undefined : delayTopic;
  }

  /** Undefined as long as the role is not open. */
  get commands(): DelayCommands | undefined {
    return this.#commands;
  }

  /** Undefined as long as the role is not open. */
  get series(): SeriesCommands | undefined {
    return this.#series;
  }

  /** Its delay log is not as it must be. */
  get isRefused(): boolean {
    return this.#refusal !== undefined;
  }

  get whyClosed(): CodedError {
    if (this.#refusal !== undefined) {
      return coded('NOT_SUPPORTED', `delayed messages are refused here: ${this.#refusal}`);
    }
    const words = 'delayed messages are not open yet: the cluster, or the disk, does not answer';
    return coded('BACKEND_UNAVAILABLE', words, { retryAfterMs: AGAIN_MS });
  }

  /** Numbers for the metrics; all 0 until it is open. */
  report(): DelayReport {
    const { stats = noStats, loop, pending, partitions } = this.#cluster ?? {};
    return {
      cluster: this.number,
      pending: pending ?? 0,
      near: loop?.window.size ?? 0,
      queued: loop?.queued ?? 0,
      stuckTopics: loop?.stuckTopics.length ?? 0,
      partitionsOwn: partitions?.own ?? 0,
      partitionsReady: partitions?.ready ?? 0,
      fired: stats.fired,
      early: stats.early,
      late: stats.late,
      lateMs: stats.lateMs,
      refused: stats.refused,
      cancelled: stats.cancelled,
      moved: stats.moved,
      tooLate: stats.tooLate,
      seriesFired: stats.seriesFired,
      seriesMissed: stats.seriesMissed,
      applied: stats.applied,
      foreign: stats.foreign,
      replays: stats.replays,
      loads: stats.loads,
      clockSteps: stats.clockSteps,
    };
  }

  /** Tries once, and goes on in the background while the cluster does not answer. */
  async open(): Promise<void> {
    if (await this.#tryOpen()) return;
    void this.#openLater();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#commands = undefined;
    this.#series = undefined;
    await this.#opening?.catch(() => {});
    await this.#ending;
    if (this.#cluster?.hasFailed === false) await this.#cluster.close();
    await this.#parts.ports.publisher.close();
  }

  async #openLater(): Promise<void> {
    do await sleep(systemClock, AGAIN_MS);
    while (!this.#closed && !(await this.#tryOpen()));
  }

  /** False: the cluster does not answer, so it is worth another try. */
  async #tryOpen(): Promise<boolean> {
    const { config, log, ports } = this.#parts;
    try {
      await ports.topics.ensure(delayTopicSpec(config.limits.messageBytesMax));
      if (!this.#closed) await this.#start();
      return true;
    } catch (error) {
      const why = { code: codeOf(error), message: messageOf(error) };
      const cluster = nameOf(this.number);
      if (why.code !== 'ROLE_REFUSED') {
        log.warn({ cluster, ...why }, 'delayed messages wait for the cluster, or for the disk');
        return false;
      }
      this.#refusal = why.message;
      log.error({ cluster, ...why }, 'delayed messages are refused');
      await this.#parts.onRefused().catch((cause: unknown) => {
        log.error({ message: messageOf(cause) }, 'a lane was not told so');
      });
      return true;
    }
  }

  /**
   * Its index failed: the role ends, and begins anew with what the log has. Until it has, the one
   * that failed stands in its place: its commands answer RETRY_LATER, its counts are reported.
   */
  async #startAgain(cluster: DelayCluster, folder: string, error: unknown): Promise<void> {
    const { log } = this.#parts;
    const why = { code: codeOf(error), message: messageOf(error) };
    log.error(why, 'the index of delayed messages failed, and is opened again');
    const warn = (cause: unknown) => log.warn({ message: messageOf(cause) }, 'end');
    await cluster.close().catch(warn);
    if (isCorruption(error)) await rm(folder, { recursive: true, force: true }).catch(warn);
    if (!this.#closed) void this.#openLater();
  }

  async #start(): Promise<void> {
    const { config, manifest, log, topics, catalog, ports } = this.#parts;
    const spec = delayTopicSpec(config.limits.messageBytesMax);
    const known = catalog.get(delayTopic)?.clusters[primaryCluster];
    // The backup's is made by what is noted here, where that is faster than its own role.
    if (known?.config['cleanup.policy'] === undefined) {
      await catalog.record(delayTopic, primaryCluster, {
        partitions: DELAY_PARTITIONS,
        messageBytesMax: Number(spec.config['max.message.bytes']),
        replicationFactor: known?.replicationFactor ?? 1,
        minInsyncReplicas: known?.minInsyncReplicas ?? 1,
        config: { ...known?.config, ...spec.madeWith, ...spec.config },
      });
    }
    const topic = await topics.adopt(delayTopic);
    // Before anything is open: what fails here is tried again from the beginning.
    await this.#parts.onTaken(topic);
    const folder = join(config.dataDir, 'delay', String(ports.consumers.cluster));
    const openStore = (at: string) => openKeyValueStore({ folder: at, createIfMissing: true });
    if (this.#closed) return;
    const opening = DelayIndex.open(folder, openStore, log);
    this.#opening = opening;
    const index = await opening;
    // Who closes the role waits for the index alone, and finds it not started.
    if (this.#closed) return index.close();
    const { consumers, publisher } = ports;
    const cluster = new DelayCluster({
      consumers,
      publisher,
      index,
      clock: systemClock,
      log: log.child({ role: 'delay' }),
      clientId: manifest.nodeId,
      onFailed: (error) => {
        this.#ending = this.#startAgain(cluster, folder, error);
      },
      ...(this.#cluster === undefined ? {} : { stats: this.#cluster.stats }),
    });
    cluster.start();
    this.#cluster = cluster;
    this.#commands = new DelayCommands(cluster, systemClock, this.number);
    this.#series = new SeriesCommands({
      cluster,
      clock: systemClock,
      random: systemRandom,
      nodeId: BigInt(`0x${manifest.nodeId}`),
    });
    log.info({ topic: delayTopic, cluster: nameOf(this.number) }, 'delayed messages are taken');
  }
}
