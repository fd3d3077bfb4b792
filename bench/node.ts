import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../sdk/ts/src/client.ts';
import { coded } from '../src/base/errors.ts';
import { metric } from '../test/support/node-state.ts';
import { TestServer } from '../test/support/start-server.ts';
import { type Rig, withFolder } from './rig.ts';

/** How a node under measurement is set up. */
export interface NodeOptions {
  /** Default `kafka`. */
  readonly backend?: 'embedded' | 'kafka';
  /** Where the lanes run; default: the node's own default. */
  readonly laneHost?: 'inline' | 'worker';
  /** More arguments of `mqproxy serve`. */
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const drainSecondsMax = 300;
const pollMs = 20;

/** Starts a node on an empty folder, and ends it and removes the folder afterwards. */
export function withNode<T>(
  rig: Rig,
  options: NodeOptions,
  use: (node: BenchNode) => Promise<T>,
): Promise<T> {
  return withFolder(async (dataDir) => {
    const { backend = 'kafka', laneHost, args = [], ...rest } = options;
    const server = new TestServer({
      ...rest,
      backend,
      ...(backend === 'kafka' ? { kafkaBrokers: rig.brokers } : {}),
      dataDir,
      args: [...(laneHost ? ['--lane.host', laneHost] : []), '--log-level', 'warn', ...args],
    });
    const end = (): void => server.killNow();
    process.once('exit', end);
    try {
      await server.start();
      return await use(new BenchNode(server));
    } finally {
      await server.close();
      process.off('exit', end);
    }
  });
}

interface Status {
  readonly rssBytes: number;
  readonly connections: number;
  readonly lanes: readonly { readonly outboxMessages: number; readonly outboxBytes: number }[];
}

/** A node that runs, and what it says of itself. */
export class BenchNode {
  readonly #server: TestServer;

  constructor(server: TestServer) {
    this.#server = server;
  }

  get pid(): number {
    return this.#server.pid;
  }

  get port(): number {
    return this.#server.mqp.port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  signal(signal: NodeJS.Signals): void {
    this.#server.signal(signal);
  }

  get dataDir(): string {
    return this.#server.dataDir;
  }

  /** Ends the process and waits for its end. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#server.kill(signal);
  }

  /** Starts it again on the same data and ports; resolves with its ready line. */
  async start(): Promise<void> {
    await this.#server.restart();
  }

  async status(): Promise<Status> {
    const { host, port } = this.#server.admin;
    const response = await fetch(`http://${host}:${port}/status`);
    return (await response.json()) as Status;
  }

  /** What its metrics say under a name that begins so: the sum over the labels. */
  metric(name: string): Promise<number> {
    return metric(this.#server, name);
  }

  /** Messages that were answered and are not in Kafka yet. */
  async waiting(): Promise<number> {
    const { lanes } = await this.status();
    return lanes.reduce((sum, lane) => sum + lane.outboxMessages, 0);
  }

  /** Waits until nothing is left in the outbox; the seconds it took. @throws BENCH_FAILED */
  async drained(): Promise<number> {
    const begin = performance.now();
    for (;;) {
      const seconds = (performance.now() - begin) / 1000;
      const waiting = await this.waiting();
      if (waiting === 0) return Math.round(seconds * 100) / 100;
      if (seconds > drainSecondsMax) {
        throw coded('BENCH_FAILED', `${waiting} messages still wait after ${drainSecondsMax} s`);
      }
      await pause(pollMs);
    }
  }

  /** Records of a topic by the node's own word: all there is for the embedded log. */
  async records(topic: string): Promise<number> {
    const client = await MqpClient.connect({ servers: [this.address] });
    try {
      const { partitions } = await client.describeTopic(topic);
      return partitions.reduce((sum, { endOffset }) => sum + endOffset, 0);
    } finally {
      await client.close();
    }
  }
}
