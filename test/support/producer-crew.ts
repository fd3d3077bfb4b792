import { createHash } from 'node:crypto';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { AckLevel } from '../../sdk/ts/src/types.ts';
import { cleanUp } from './clean-up.ts';

/** A message that was answered well: what must be found again, byte for byte. */
export interface Answered {
  readonly id: string;
  readonly producer: number;
  readonly n: number;
  readonly value: string;
}

/** How a crew works. */
export interface CrewOptions {
  readonly server: string;
  readonly topics: readonly string[];
  readonly clients: number;
  /** Of the producer ids, which go up by one; 1 when absent. */
  readonly firstProducer?: number;
  /** Messages of one client that are on their way at once. */
  readonly window: number;
  readonly ack?: AckLevel;
  /** Messages a second of the whole crew; absent: as fast as answers come. */
  readonly ratePerSecond?: number;
}

/** The value of message `n` of a producer: it carries its own digest, so an invention shows. */
export function crewValue(producer: number, n: number): string {
  const body = `p${producer}-n${n}-${'x'.repeat(n % 200)}`;
  return `${body}#${createHash('md5').update(body).digest('hex')}`;
}

/**
 * Clients that produce until they are told to stop, over every kill of their node, and note what
 * was answered. Their producer ids are counted up, so that ids can be told apart.
 */
export class ProducerCrew {
  readonly answered: Answered[] = [];
  readonly failed: unknown[] = [];
  private readonly options: CrewOptions;
  private readonly clients: MqpClient[] = [];
  private readonly loops: Promise<void>[] = [];
  private stopping = false;

  private constructor(options: CrewOptions) {
    this.options = options;
  }

  static async start(options: CrewOptions): Promise<ProducerCrew> {
    const crew = new ProducerCrew(options);
    cleanUp(() => crew.abandon());
    const { firstProducer = 1, clients } = options;
    for (let i = firstProducer; i < firstProducer + clients; i++) {
      const client = await MqpClient.connect({
        servers: [options.server],
        producerId: BigInt(i),
        clientName: `crew-${i}`,
        timeoutMs: 120_000,
        reconnect: { minMs: 20, maxMs: 200 },
      });
      crew.clients.push(client);
      for (let w = 0; w < options.window; w++) crew.loops.push(crew.produce(client, i, w));
    }
    return crew;
  }

  /** Stops beginning new messages, waits for the answers of the others, and disconnects. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.loops);
    await Promise.all(this.clients.map((client) => client.close({ timeoutMs: 30_000 })));
  }

  /** Clients that go on resending would keep a failed test's process for ever. */
  private async abandon(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.clients.map((client) => client.close({ timeoutMs: 0 }).catch(() => {})));
  }

  private async produce(client: MqpClient, producer: number, worker: number): Promise<void> {
    const { topics, window, clients, ack = 'stored', ratePerSecond } = this.options;
    const pauseMs = ratePerSecond === undefined ? 0 : (1000 * window * clients) / ratePerSecond;
    for (let n = worker; !this.stopping; n += window) {
      const topic = topics[n % topics.length] as string;
      const value = crewValue(producer, n);
      const began = performance.now();
      try {
        const { id } = await client.produce(topic, { value, key: `k${n % 50}` }, { ack });
        this.answered.push({ id, producer, n, value });
      } catch (error) {
        this.failed.push(error);
      }
      // From beginning to beginning: what an answer takes would lower the rate.
      const leftMs = pauseMs - (performance.now() - began);
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
    }
  }
}
