import { join } from 'node:path';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import { MqpError } from '../../../sdk/ts/src/errors.ts';
import type { AckLevel, ProduceResult } from '../../../sdk/ts/src/types.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { until } from '../../support/wait.ts';
import { History } from './history.ts';
import { payloadKey, payloadOf } from './payload.ts';

/** How a crew works. */
export interface HistoryCrewOptions {
  readonly server: string;
  readonly topics: readonly string[];
  readonly clients: number;
  /** Messages of one client that are on their way at once. */
  readonly window: number;
  /** `mixed`: every fifth is asked to be replicated. Default `stored`. */
  readonly ack?: AckLevel | 'mixed';
  /** Messages a second of the whole crew; absent: as fast as answers come. */
  readonly ratePerSecond?: number;
  /** How long a message may wait for its answer, in ms; default 120,000. */
  readonly timeoutMs?: number;
  /** Where the history goes; default a temp folder. */
  readonly folder?: string;
}

/**
 * Clients that produce until they are told to stop, over every fault of their node, and write their
 * history. Their producer ids are 1, 2, …
 */
export class HistoryCrew {
  readonly history: History;
  /** Messages that ended otherwise, by code. */
  readonly failures = new Map<string, number>();
  readonly #options: HistoryCrewOptions;
  readonly #clients: MqpClient[] = [];
  readonly #loops: Promise<void>[] = [];
  #isStopping = false;

  private constructor(options: HistoryCrewOptions) {
    this.#options = options;
    this.history = new History(join(options.folder ?? tempDir('mqproxy-history-'), 'history'));
  }

  static async start(options: HistoryCrewOptions): Promise<HistoryCrew> {
    const crew = new HistoryCrew(options);
    cleanUp(() => crew.#abandon());
    for (let client = 1; client <= options.clients; client++) {
      const connected = await MqpClient.connect({
        servers: [options.server],
        producerId: BigInt(client),
        clientName: `crew-${client}`,
        timeoutMs: options.timeoutMs ?? 120_000,
        reconnect: { minMs: 20, maxMs: 200 },
      });
      crew.#clients.push(connected);
      for (let worker = 0; worker < options.window; worker++)
        crew.#loops.push(crew.#produce(connected, client, worker));
    }
    return crew;
  }

  get answered(): number {
    return this.history.answered;
  }

  /** Waits for so many more answers: a fault of a node that is not at work proves nothing. */
  async untilAnswered(more = 100, timeoutMs = 60_000): Promise<void> {
    const goal = this.answered + more;
    const what = `${more} more answers`;
    await until(() => this.answered >= goal, { timeoutMs, what, everyMs: 2 });
  }

  /** Begins nothing more, waits for the answers of the others, and disconnects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    await Promise.all(this.#clients.map((client) => client.close({ timeoutMs: 30_000 })));
    this.history.close();
  }

  /** Clients that go on resending would keep a failed test's process for ever. */
  async #abandon(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(
      this.#clients.map((client) => client.close({ timeoutMs: 0 }).catch(() => {})),
    );
    await Promise.allSettled(this.#loops);
    this.history.close();
  }

  async #produce(client: MqpClient, name: number, worker: number): Promise<void> {
    const { topics, window, clients, ack = 'stored', ratePerSecond } = this.#options;
    const pauseMs = ratePerSecond === undefined ? 0 : (1000 * window * clients) / ratePerSecond;
    for (let n = worker; !this.#isStopping; n += window) {
      const topic = topics[n % topics.length] as string;
      const level = ack === 'mixed' ? (n % 5 === 0 ? 'replicated' : 'stored') : ack;
      this.history.invoke(name, n, topic);
      try {
        const message = { ...payloadOf(name, n), key: payloadKey(n) };
        this.#noteOk(name, n, await client.produce(topic, message, { ack: level }));
      } catch (error) {
        this.#noteFailure(name, n, error);
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #noteOk(client: number, n: number, { id, partition, offset, cluster }: ProduceResult): void {
    if (partition === undefined || offset === undefined) this.history.ok(client, n, id);
    else this.history.ok(client, n, id, { cluster: cluster ?? 'primary', partition, offset });
  }

  #noteFailure(client: number, n: number, error: unknown): void {
    if (!(error instanceof MqpError)) throw error;
    this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
    this.history.failed(client, n, error.code, error.id);
  }
}
