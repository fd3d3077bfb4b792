import { MqpClient } from '../../sdk/ts/src/client.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import { cleanUp } from '../support/clean-up.ts';
import { readTopic } from '../support/kafka-read.ts';
import { readAll } from '../support/read-all.ts';
import { Seeded } from '../support/seeded.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';
import { DelayChecker, delayedValue, type EnoughDelays } from './checker/delay-checker.ts';
import { isUndecided } from './checker/history.ts';
import type { Verdicts } from './checker/verdicts.ts';

/** How a crew delays. */
export interface DelayCrewOptions {
  /** Where its clients connect. */
  readonly server: string;
  /** Where the topic is read back; absent: from the node. */
  readonly readFrom?: string;
  readonly seed: number;
}

const producerId = 1_000n;
const pauseMs = 20;
const aheadMaxMs = 4_000;
/** One in so many is cancelled, if it can be, within this time; it is due within twice that. */
const cancelOneIn = 4;
const cancelWithinMs = 8_000;
const openMax = 256;
const drainMs = 180_000;

/**
 * Delays messages for a topic of its own and cancels some, over every fault of the node, until it
 * is told to stop. {@link end} holds all that came against what was answered.
 */
export class DelayCrew {
  readonly topic = uniqueTopic('delayed');
  readonly checker = new DelayChecker();
  readonly #options: DelayCrewOptions;
  readonly #random: Seeded;
  readonly #client: MqpClient;
  readonly #open = new Set<Promise<void>>();
  #isStopping = false;
  #loop: Promise<void> = Promise.resolve();

  private constructor(options: DelayCrewOptions, client: MqpClient) {
    this.#options = options;
    this.#random = new Seeded(options.seed);
    this.#client = client;
  }

  static async start(options: DelayCrewOptions): Promise<DelayCrew> {
    const client = await MqpClient.connect({
      servers: [options.server],
      producerId,
      clientName: 'delays',
      timeoutMs: 120_000,
      reconnect: { minMs: 20, maxMs: 200 },
    });
    const crew = new DelayCrew(options, client);
    cleanUp(() => crew.#abandon());
    // One partition, so that offsets tell what was before an answer.
    await client.createTopic(crew.topic, { partitions: 1 });
    crew.#loop = crew.#run();
    return crew;
  }

  /** Stops, waits until all has fired, and checks; the node runs and its clock is right. */
  async end(enough: EnoughDelays): Promise<Verdicts> {
    this.#isStopping = true;
    await this.#loop;
    await Promise.all(this.#open);
    const isOver = async (): Promise<boolean> => {
      const page = await this.#client.delayed.list({ topic: this.topic, limit: 1 }).catch(() => {});
      return page !== undefined && page.delays.length === 0;
    };
    const missed = await until(isOver, { timeoutMs: drainMs, everyMs: 200 }).catch(() => false);
    for (const record of await this.#read()) this.checker.found(record);
    await this.#client.close();
    const verdicts = this.checker.verdicts(enough);
    if (missed === false) verdicts.add('lost', `after ${drainMs} ms some wait that are due`);
    return verdicts;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      await passing(pauseMs);
      if (this.#open.size >= openMax) continue;
      const done = this.#delay().finally(() => this.#open.delete(done));
      this.#open.add(done);
      done.catch(() => {});
    }
  }

  async #delay(): Promise<void> {
    const random = this.#random;
    const now = Date.now();
    const dueAtMs = now + random.below(aheadMaxMs);
    const cancelAfterMs =
      random.below(cancelOneIn) === 0 ? random.below(cancelWithinMs) : undefined;
    const n = this.checker.invoke(now, dueAtMs);
    let delayId: string | undefined;
    try {
      const sent = await this.#client.produce(this.topic, { value: delayedValue(n), dueAtMs });
      this.checker.ok(n, sent.id);
      delayId = sent.delayId;
    } catch (error) {
      if (!(error instanceof MqpError)) throw error;
      if (!isUndecided(error.code)) this.checker.refused(n);
    }
    if (delayId === undefined || cancelAfterMs === undefined) return;
    await passing(cancelAfterMs);
    await this.#cancel(n, delayId);
  }

  async #cancel(n: number, id: string): Promise<void> {
    const outcome = await this.#client.delayed.cancel({ id }).catch(() => 'unknown' as const);
    // It was not found either when a try before has ended it, whose answer was lost with the node.
    if (outcome === 'unknown' || outcome === 'notFound') this.checker.cancelFailed(n);
    if (outcome !== 'cancelled') return;
    for (;;) {
      const end = await this.#endOffset().catch(() => undefined);
      if (end !== undefined) return this.checker.cancelled(n, end);
      await passing(pauseMs);
    }
  }

  async #endOffset(): Promise<number | undefined> {
    const { partitions } = await this.#client.describeTopic(this.topic);
    return partitions[0]?.endOffset;
  }

  async #read() {
    const { readFrom } = this.#options;
    if (readFrom === undefined) return readAll(this.#client, this.topic);
    const records = await readTopic(readFrom, this.topic);
    return records.map(({ mq, value, offset, timestampMs }) => ({
      id: mq?.id ?? '',
      value: `${value}`,
      offset,
      timestampMs,
    }));
  }

  async #abandon(): Promise<void> {
    this.#isStopping = true;
    await this.#client.close({ timeoutMs: 0 }).catch(() => {});
  }
}
