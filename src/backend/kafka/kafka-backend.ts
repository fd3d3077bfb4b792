import { type Clock, sleep, type Timer } from '../../base/clock.ts';
import { coded, codeOf, messageOf } from '../../base/errors.ts';
import { inSteps } from '../../base/in-steps.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type {
  Backend,
  CreateTopicRequest,
  PartitionOffsets,
  Reachability,
  TailRequest,
  TailResult,
  TopicDescription,
  TopicSummary,
} from '../port.ts';
import { primaryCluster, type TopicBook } from '../topic-book.ts';
import { checkTopicName } from '../topic-name.ts';
import { readError } from './kafka-errors.ts';
import type { KafkaTopic, KafkaTopics } from './kafka-topics.ts';
import type { TailPool } from './tail-pool.ts';
import { TopicCache } from './topic-cache.ts';

/** What a {@link KafkaBackend} is made of; `openKafkaBackend` makes it of the real parts. */
export interface KafkaBackendOptions {
  readonly topics: Pick<
    KafkaTopics,
    'describe' | 'describeAll' | 'list' | 'create' | 'probe' | 'deleteRecords'
  >;
  readonly tails: Pick<TailPool, 'read' | 'offsets' | 'close'>;
  readonly book: TopicBook;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Kafka's own id of the cluster. */
  readonly clusterId: () => Promise<string>;
  /** Ends what the parts hold open. */
  readonly onClose: () => Promise<void>;
  /** A description is new or differs from the last one. */
  readonly onTopic?: (topic: TopicDescription) => void;
  /** Between two refreshes of what is known, in ms; default 30,000. */
  readonly refreshMs?: number;
}

/** How long until an unreachable cluster is asked again, in ms. */
const retryMs = 2_000;
/** How often a cluster that nobody has asked is asked whether it is there, in ms. */
const probeMs = 4_000;
/** How long a client waits for a cluster that is slow or away to describe a topic, in ms. */
const patienceMs = 500;
const offsetsTimeoutMs = 5_000;

/**
 * Apache Kafka behind the port. What was described is kept for a while and refreshed in the
 * background, and in the book on disk: so a known topic is described while Kafka is away.
 */
export class KafkaBackend implements Backend {
  readonly kind = 'kafka';
  readonly #options: KafkaBackendOptions;
  readonly #cache = new TopicCache(limits.topicsMax);
  readonly #asking = new Map<string, Promise<KafkaTopic | undefined>>();
  #reachability: Reachability = { reachable: false, reason: 'Kafka has not been asked yet' };
  /** It was asked, and did not answer. */
  #isAway = false;
  /** When it last answered, or did not. */
  #heardMs = 0;
  #timer: Timer | undefined;
  #probeTimer: Timer | undefined;
  #refreshing: Promise<void> | undefined;
  #closed = false;

  constructor(options: KafkaBackendOptions) {
    this.#options = options;
    this.#arm(0);
    this.#armProbe();
  }

  async describeTopic(name: string): Promise<TopicDescription | undefined> {
    checkTopicName(name);
    const fresh = this.#cache.get(name, this.#options.clock.monotonic(), 2 * this.#refreshMs);
    if (fresh !== undefined) return descriptionOf(fresh);
    // A known topic is no reason to wait for a cluster that is away; it is asked again anyway. One
    // that it denied last counts as known: a broker that has just started denies what it has.
    const isAway = !this.#reachability.reachable;
    const booked = this.#booked(name, isAway);
    if (isAway && booked !== undefined) return booked;
    const asked = this.#ask(name).then((topic) => topic && descriptionOf(topic));
    if (booked === undefined && !this.#isAway) return asked;
    const { reason } = this.#reachability;
    const late = sleep(this.#options.clock, patienceMs).then(() => booked ?? unavailable(reason));
    return Promise.race([asked, late]).catch((error: unknown) => {
      if (codeOf(error) === 'BACKEND_UNAVAILABLE' && booked !== undefined) return booked;
      throw error;
    });
  }

  /**
   * Asks the cluster itself, whatever is remembered: false when it says that it has no such topic.
   *
   * @throws BACKEND_UNAVAILABLE, NOT_AUTHORIZED
   */
  async probeTopic(name: string): Promise<boolean> {
    return (await this.#ask(name)) !== undefined;
  }

  /** Kafka's own id of the cluster. @throws BACKEND_UNAVAILABLE */
  clusterId(): Promise<string> {
    return this.#options.clusterId();
  }

  async createTopic(request: CreateTopicRequest): Promise<TopicDescription> {
    checkTopicName(request.name);
    checkCounts(request);
    const topic = await this.#watched(this.#options.topics.create(request));
    await this.#note(topic);
    return descriptionOf(topic);
  }

  async listTopics(prefix: string): Promise<TopicSummary[]> {
    return this.#watched(this.#options.topics.list(prefix));
  }

  async offsets(name: string): Promise<PartitionOffsets[]> {
    checkTopicName(name);
    const topic = await this.#ask(name);
    if (topic === undefined) throw coded('UNKNOWN_TOPIC', `there is no topic ${name}`);
    return inSteps(topic.leaders, limits.offsetsAtOnce, (leader, partition) =>
      this.#offsetsOf(name, partition, leader),
    );
  }

  async deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void> {
    checkTopicName(topic);
    await this.#watched(this.#options.topics.deleteRecords(topic, partition, beforeOffset));
  }

  async tail(request: TailRequest): Promise<TailResult> {
    const { topic, partition, signal } = request;
    const known = await this.describeTopic(topic);
    if (known === undefined) throw coded('UNKNOWN_TOPIC', `there is no topic ${topic}`);
    if (partition >= known.partitions) {
      throw coded(
        'UNKNOWN_PARTITION',
        `topic ${topic} has partitions 0 to ` + `${known.partitions - 1}, not ${partition}`,
      );
    }
    const read = this.#options.tails
      .read({
        topic,
        partition,
        from: request.from,
        position: request.position,
        bytesMax: Math.min(Math.max(request.bytesMax, 1), limits.tailBytesMax),
        waitMs: Math.min(request.waitMs, limits.tailWaitMsMax),
      })
      .then((result) => ({ partition, ...result }));
    try {
      return (await orAborted(read, signal)) ?? nothing(request);
    } catch (error) {
      throw readError(error, `read topic ${topic}, partition ${partition}`);
    }
  }

  reachable(): Reachability {
    return this.#reachability;
  }

  /** Describes again all that is known; it happens by itself every 30 s. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshAll().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#probeTimer?.cancel();
    await this.#options.tails.close();
    await this.#options.onClose();
    await this.#refreshing?.catch(() => undefined);
  }

  get #refreshMs(): number {
    return this.#options.refreshMs ?? 30_000;
  }

  #arm(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.refresh().then(
        () => this.#arm(this.#refreshMs),
        (error: unknown) => {
          this.#options.logger.debug({ code: codeOf(error) }, messageOf(error));
          this.#arm(retryMs);
        },
      );
    }, delayMs);
  }

  /** An outage is to be known within seconds, not at the next refresh. */
  #armProbe(): void {
    if (this.#closed) return;
    this.#probeTimer = this.#options.clock.setTimer(() => {
      const silentMs = this.#options.clock.monotonic() - this.#heardMs;
      if (this.#isAway || silentMs < probeMs / 2) {
        this.#armProbe();
        return;
      }
      const [name] = this.#cache.names();
      this.#watched(this.#options.topics.probe(name))
        .catch(() => {
          // From now on it is asked often, until it answers.
          this.#timer?.cancel();
          this.#arm(retryMs);
        })
        .finally(() => this.#armProbe());
    }, probeMs);
  }

  async #refreshAll(): Promise<void> {
    const booked = this.#options.book
      .list('')
      .filter((topic) => topic.clusters[primaryCluster]?.confirmed === true)
      .map((topic) => topic.name);
    const names = new Set([...this.#cache.names(), ...booked]);
    const found = await this.#watched(this.#options.topics.describeAll(names));
    for (const topic of found) {
      names.delete(topic.name);
      await this.#note(topic);
    }
    // A listing leaves out what we may not see, so the missing ones are asked for by name.
    for (const name of names) await this.#ask(name).catch(rethrowUnavailable);
  }

  /** Asks the cluster about one topic; callers at the same time share the answer. */
  #ask(name: string): Promise<KafkaTopic | undefined> {
    const asking =
      this.#asking.get(name) ??
      this.#askOnce(name).finally(() => {
        this.#asking.delete(name);
      });
    this.#asking.set(name, asking);
    return asking;
  }

  async #askOnce(name: string): Promise<KafkaTopic | undefined> {
    const topic = await this.#watched(this.#options.topics.describe(name));
    if (topic !== undefined) {
      await this.#note(topic);
    } else {
      this.#cache.delete(name);
      await this.#options.book.unconfirm(name, primaryCluster);
    }
    return topic;
  }

  /** Remembers a description; first on the disk, so that nothing is used that a restart forgets. */
  async #note(topic: KafkaTopic): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    const before = this.#cache.get(topic.name, nowMs, Number.POSITIVE_INFINITY);
    const description = descriptionOf(topic);
    await this.#options.book.record(topic.name, primaryCluster, description);
    this.#cache.put(topic, nowMs);
    if (before === undefined || !sameDescription(descriptionOf(before), description)) {
      this.#options.onTopic?.(description);
    }
  }

  /** Learns from every answer whether the cluster can be reached. */
  async #watched<T>(answer: Promise<T>): Promise<T> {
    try {
      const value = await answer;
      this.#turn({ reachable: true });
      return value;
    } catch (error) {
      if (codeOf(error) === 'BACKEND_UNAVAILABLE') {
        this.#turn({ reachable: false, reason: messageOf(error) });
      } else {
        this.#turn({ reachable: true });
      }
      throw error;
    }
  }

  #turn(now: Reachability): void {
    const before = this.#reachability;
    this.#reachability = now;
    this.#isAway = !now.reachable;
    this.#heardMs = this.#options.clock.monotonic();
    if (this.#closed || before.reachable === now.reachable) return;
    if (now.reachable) this.#options.logger.info('Kafka answers');
    else this.#options.logger.warn({ reason: now.reason }, 'Kafka does not answer');
  }

  /** What is known of a topic; with `evenDenied`, also if the cluster denied it since. */
  #booked(name: string, evenDenied = false): TopicDescription | undefined {
    const known = this.#options.book.get(name)?.clusters[primaryCluster];
    if (known === undefined || !(known.confirmed || evenDenied)) return undefined;
    const { partitions, messageBytesMax, replicationFactor, minInsyncReplicas, config } = known;
    return { name, partitions, messageBytesMax, replicationFactor, minInsyncReplicas, config };
  }

  async #offsetsOf(topic: string, partition: number, leader: number): Promise<PartitionOffsets> {
    try {
      const asked = { topic, partition, timeoutMs: offsetsTimeoutMs };
      const { startOffset, endOffset } = await this.#options.tails.offsets(asked);
      const span = { partition, startOffset, endOffset };
      return leader < 0 ? span : { ...span, leader };
    } catch (error) {
      throw readError(error, `tell the offsets of topic ${topic}, partition ${partition}`);
    }
  }
}

function descriptionOf(topic: KafkaTopic): TopicDescription {
  const { leaders: _, ...description } = topic;
  return description;
}

function sameDescription(a: TopicDescription, b: TopicDescription): boolean {
  return (
    a.partitions === b.partitions &&
    a.messageBytesMax === b.messageBytesMax &&
    a.replicationFactor === b.replicationFactor &&
    a.minInsyncReplicas === b.minInsyncReplicas &&
    JSON.stringify(a.config) === JSON.stringify(b.config)
  );
}

function checkCounts({ partitions = 1, replicationFactor = 1 }: CreateTopicRequest): void {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 100_000) {
    throw coded('INVALID_ARGUMENT', `a topic cannot have ${partitions} partitions`);
  }
  if (!Number.isInteger(replicationFactor) || replicationFactor < 1 || replicationFactor > 100) {
    throw coded('INVALID_ARGUMENT', `a topic cannot have ${replicationFactor} replicas`);
  }
}

function rethrowUnavailable(error: unknown): void {
  if (codeOf(error) === 'BACKEND_UNAVAILABLE') throw error;
}

/** What a tail that was ended by its caller answers: it goes on where it was. */
function nothing({ partition, position }: TailRequest): TailResult {
  const offset = position;
  const span = { startOffset: offset, endOffset: offset, nextOffset: offset };
  return { partition, ...span, count: 0, records: new Uint8Array(0) };
}

/** Undefined when the signal came first; what comes later is then dropped. */
async function orAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
  if (signal === undefined) return work;
  let stop: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    work.catch(() => undefined);
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function unavailable(reason = 'Kafka does not answer'): never {
  throw coded('BACKEND_UNAVAILABLE', reason, { retryAfterMs: 1_000 });
}
