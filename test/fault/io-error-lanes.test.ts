import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { laneOf } from '../../src/server/handlers/hello.ts';
import { Cores } from '../support/cores.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { laneStates } from '../support/node-state.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

/** Producer ids whose messages go to this lane of two. */
const producersOf = (lane: number): bigint[] =>
  Array.from({ length: 20 }, (_, i) => BigInt(i + 101)).filter((id) => laneOf(id, 2) === lane);

/** Waits for a state of lane 0, while the producer of lane 1 goes on; answers to it meanwhile. */
async function meanwhile(
  server: TestServer,
  state: 'reopening' | 'serving' | 'out',
  neighbour: Neighbour,
): Promise<number> {
  const before = neighbour.answered;
  const look = async () => (await laneStates(server))[0]?.state === state;
  await until(look, { timeoutMs: 60_000, what: `lane 0 to be ${state}`, everyMs: 2 });
  return neighbour.answered - before;
}

/** A producer of lane 1 that sends one message after the other. */
class Neighbour {
  answered = 0;
  longestMs = 0;
  readonly #client: RawClient;
  readonly #topic: number;
  #isStopping = false;
  #work: Promise<void> = Promise.resolve();

  private constructor(client: RawClient, topic: number) {
    this.#client = client;
    this.#topic = topic;
  }

  static async start(server: TestServer, topic: string): Promise<Neighbour> {
    const client = await RawClient.connect(server.mqp, { producerId: producersOf(1)[0] ?? 0n });
    const { topicId } = await client.open(topic);
    const neighbour = new Neighbour(client, topicId);
    neighbour.#work = neighbour.#produce();
    neighbour.#work.catch(() => {});
    return neighbour;
  }

  /** Resolves when so many more are answered; rejects when one was not OK. */
  async goesOn(more: number): Promise<void> {
    const goal = this.answered + more;
    const isThere = until(() => this.answered >= goal, { what: 'answers of lane 1' });
    await Promise.race([isThere, this.#work]);
    assert(this.answered >= goal);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#work;
  }

  async #produce(): Promise<void> {
    for (let first = 1; !this.#isStopping; first++) {
      const began = performance.now();
      // Every tenth is answered by Kafka.
      const replicated = first % 10 === 0;
      const run = { topic: this.#topic, first, values: [`value ${first}`], replicated };
      const [outcome] = await this.#client.produce(run);
      assert.equal(outcome?.name, 'OK');
      this.longestMs = Math.max(this.longestMs, performance.now() - began);
      this.answered++;
    }
  }
}

test('while a lane opens its store again, and when it is out, the other one serves', {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const server = await startServer({
    dataDir,
    backend: 'kafka',
    kafkaBrokers: await sharedKafka(),
    args: ['--lanes', '2'],
    env: preloadEnv({ pathPrefix: dataDir, faults: disk.file }),
  });
  const topic = uniqueTopic('lanes');
  const neighbour = await Neighbour.start(server, topic);
  await neighbour.goesOn(20);
  const other = await RawClient.connect(server.mqp, { producerId: producersOf(0)[0] ?? 0n });
  const { topicId } = await other.open(topic);
  const path = '/lanes/0/';
  const failOnce = async (first: number): Promise<void> => {
    disk.set({ on: 'sync', does: 'EIO', path }, { on: 'sync', from: 2, to: 40, does: 100, path });
    const [outcome] = await other.produce({ topic: topicId, first, values: ['v'] }, 60_000);
    assert.equal(outcome?.name, 'UNKNOWN');
  };
  const cores = new Cores();
  const failed = failOnce(1);
  await meanwhile(server, 'reopening', neighbour);
  // Its disk is slow too, so that this takes a while.
  const duringReopen = await meanwhile(server, 'serving', neighbour);
  await failed;
  assert(duringReopen >= 20, `${duringReopen} answers while lane 0 opened its store`);
  const goingOut = failOnce(2);
  await meanwhile(server, 'out', neighbour);
  await goingOut;
  disk.clear();
  assert.equal((await other.untilClosed())?.code, ErrorCode.LANE_OUT);
  await neighbour.goesOn(100);
  const newcomer = await RawClient.connect(server.mqp, { producerId: producersOf(1)[1] ?? 0n });
  newcomer.socket.destroy();
  await neighbour.stop();
  const longestMs = Math.round(neighbour.longestMs);
  const measured = `whileReopening=${duringReopen} answered=${neighbour.answered} longestMs=${longestMs}`;
  if (cores.wereThere(measured))
    assert(longestMs < 5_000, `${longestMs} ms for one answer of lane 1`);
});
