import assert from 'node:assert/strict';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cleanUp } from '../support/clean-up.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

/** Places in the memory that the threads share. */
const at = { answered: 0, failed: 1, stop: 2 } as const;

interface Work {
  readonly address: string;
  readonly topic: string;
  readonly counts: Int32Array;
}

/**
 * One client that keeps the rules, beside those that do not: one message after the other, from a
 * thread of its own, so that its times are the node's and not the test's.
 */
export class GoodClient {
  readonly #worker: Worker;
  readonly #counts: Int32Array;
  #failure = '';

  private constructor(work: Work) {
    this.#counts = work.counts;
    this.#worker = new Worker(fileURLToPath(import.meta.url), { workerData: work });
    this.#worker.on('error', (error) => {
      this.#failure = String(error);
    });
  }

  static async start(server: TestServer): Promise<GoodClient> {
    const address = `${server.mqp.host}:${server.mqp.port}`;
    const counts = new Int32Array(new SharedArrayBuffer(16));
    const good = new GoodClient({ address, topic: uniqueTopic('good'), counts });
    cleanUp(() => good.stop());
    await good.goesOn(1);
    return good;
  }

  get answered(): number {
    return Atomics.load(this.#counts, at.answered);
  }

  /** It goes on: so many more answers, and no failure. */
  async goesOn(more = 20): Promise<void> {
    const goal = this.answered + more;
    const seen = () => this.answered >= goal || this.#hasFailed;
    await until(seen, { timeoutMs: 60_000, what: 'answers to the good client' });
    assert(!this.#hasFailed, `the good client failed: ${this.#failure}`);
  }

  /** The 99th percentile of the answers since it was asked the last time, in ms. */
  async takeP99(): Promise<number> {
    this.#worker.postMessage('p99');
    const [p99] = await once(this.#worker, 'message');
    return p99 as number;
  }

  async stop(): Promise<void> {
    Atomics.store(this.#counts, at.stop, 1);
    await this.#worker.terminate();
  }

  get #hasFailed(): boolean {
    return this.#failure !== '' || Atomics.load(this.#counts, at.failed) > 0;
  }
}

async function work({ address, topic, counts }: Work): Promise<void> {
  let times: number[] = [];
  parentPort?.on('message', () => {
    times.sort((a, b) => a - b);
    parentPort?.postMessage(times[Math.ceil(times.length * 0.99) - 1] ?? 0);
    times = [];
  });
  const client = await MqpClient.connect({ servers: [address] });
  for (let n = 0; Atomics.load(counts, at.stop) === 0; n++) {
    const began = performance.now();
    await client.produce(topic, { value: `n${n}` });
    times.push(performance.now() - began);
    Atomics.add(counts, at.answered, 1);
  }
}

if (!isMainThread && typeof workerData?.topic === 'string') {
  const own = workerData as Work;
  work(own).catch((error: unknown) => {
    Atomics.store(own.counts, at.failed, 1);
    throw error;
  });
}
