import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CodedError, coded } from '../../../src/base/errors.ts';
import { inlineLane } from '../../../src/lanes/inline-lane.ts';
import type { LaneTopic } from '../../../src/lanes/lane-calls.ts';
import { LaneLink } from '../../../src/lanes/lane-link.ts';
import { LaneStats, stat } from '../../../src/produce/intake/lane-stats.ts';
import type { LaneOptions } from '../../../src/produce/lane-options.ts';
import { createLaneService } from '../../../src/produce/lane-service.ts';
import type { AppendRequest, LaneStore } from '../../../src/store/lane-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { roomyLane } from '../../support/lane-options.ts';
import { framesOf } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';
import { tempFolder } from '../store/support.ts';

/** Nobody listens there: what is stored waits. */
const config = { 'bootstrap.servers': '127.0.0.1:1' };

/** A lane over a real store that fails when the test says so. */
class Bench {
  readonly dataDir: string;
  readonly link: LaneLink;
  /** Names of topics in the headers of what was stored, in order. */
  readonly stored: string[] = [];
  answered = 0;
  /** Called when a store is asked for its free space, the last thing before it serves. */
  onOpened: () => Promise<void> = async () => {};
  /** What opening the store fails with. */
  refusal: Error | undefined;
  refused = 0;
  private readonly stats = new LaneStats();
  private fail: (error: CodedError) => void = () => {};

  constructor(dataDir: string) {
    this.dataDir = dataDir;
    this.link = new LaneLink(1 << 20, this.stats.memory, {
      onAnswers: (_session, messages) => {
        this.answered += messages;
      },
      onRoom: () => {},
      onEvent: (event) => assert.notEqual(event.kind, 'out'),
    });
  }

  async start(t: TestContext): Promise<void> {
    const openStore: typeof openLaneStore = async (options) => {
      if (this.refusal !== undefined) {
        this.refused++;
        throw this.refusal;
      }
      this.fail = (error) => options.onFailure?.(error);
      return this.watched(await openLaneStore(options));
    };
    const start = inlineLane<LaneOptions>(
      (options, memory, bell, say) => createLaneService(options, memory, bell, say, openStore),
      laneOptions(this.dataDir),
    );
    await this.link.start(start);
    t.after(() => this.link.close());
    await this.openSession();
  }

  async openSession(): Promise<void> {
    const producer = { producerId: 9n, epoch: 0, ordered: true, owner: 'a' };
    await this.link.call('openSession', { session: 1, ...producer });
  }

  async setTopic(id: number): Promise<void> {
    const messageBytesMax = 1_000_000;
    const limits = {
      partitions: 1,
      messageBytesMax,
      batchBytesMax: messageBytesMax,
      idHeader: true,
    };
    const topic: LaneTopic = { id, name: `t${id}`, ...limits };
    await this.link.call('setTopic', topic);
  }

  /** A message, from the first of its producer on. */
  produce(topic: number, sequence: number): void {
    const frames = framesOf({ topic, first: sequence, values: ['value'] });
    assert.ok(this.link.offer(1, 1, frames, 0, frames.length));
  }

  /** The store fails, and is opened again. */
  breakStore(): void {
    this.fail(coded('STORE_FAILED', 'the disk failed'));
  }

  get lateNotes(): number {
    return this.stats.get(stat.resendNotesLate);
  }

  get storeFailures(): number {
    return this.stats.get(stat.storeFailures);
  }

  get resends(): { cause: string; cluster: number }[] {
    const path = join(this.dataDir, 'resends.jsonl');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    return lines.map((line) => {
      const { cause, cluster } = JSON.parse(line) as { cause: string; cluster: number };
      return { cause, cluster };
    });
  }

  private watched(store: LaneStore): LaneStore {
    const [append, volume] = [store.append.bind(store), store.volume.bind(store)];
    store.append = async (request: AppendRequest) => {
      await append(request);
      const [batch] = (await store.readBatches(store.nextSequence - 1, 1)).batches;
      for (const { name } of batch?.header.topics ?? []) this.stored.push(name);
    };
    store.volume = async () => {
      await this.onOpened();
      return volume();
    };
    return store;
  }
}

function laneOptions(dataDir: string): LaneOptions {
  return {
    ...roomyLane(dataDir),
    logLevel: 'silent',
    kafka: { key: `primary-${dataDir}`, config },
    backup: { key: `backup-${dataDir}`, config },
  };
}

/** One whose lane has answered the first message of topic 1. */
async function answeringBench(t: TestContext): Promise<Bench> {
  const bench = new Bench(await tempFolder(t));
  await bench.start(t);
  await bench.setTopic(1);
  await bench.link.call('startSending');
  bench.produce(1, 1);
  await until(() => bench.answered === 1, { what: 'the first answer' });
  return bench;
}

test('what is told while a lane opens its store again holds for the new one', async (t) => {
  const bench = await answeringBench(t);
  const meanwhile = new Promise<void>((resolve, reject) => {
    bench.onOpened = async () => {
      bench.onOpened = async () => {};
      const plan = { main: 1, isOpen: [true, false], elsewhere: [] } as const;
      await Promise.all([bench.setTopic(2), bench.link.call('setPlan', plan)]).then(
        () => resolve(),
        reject,
      );
    };
  });
  bench.breakStore();
  await meanwhile;
  // What needs the store waits until it is open again.
  await bench.link.call('flush', 0);
  bench.produce(2, 2);
  await until(() => bench.answered === 2, { what: 'the second answer' });
  assert.deepEqual(bench.stored, ['t1', 't2']);
  // The note comes before what is sent again, but an answer `stored` waits for neither.
  await until(() => bench.resends.length > 0, { what: 'the note of what is sent again' });
  assert.deepEqual(bench.resends, [{ cause: 'reopened', cluster: 1 }]);
});

test('notes of what is sent again that the disk refuses cost no store, and follow', async (t) => {
  const bench = await answeringBench(t);
  const path = join(bench.dataDir, 'resends.jsonl');
  mkdirSync(path);
  bench.breakStore();
  await until(() => bench.lateNotes > 0, { what: 'a note that is refused' });
  bench.produce(1, 2);
  await until(() => bench.answered === 2, { what: 'the second answer' });
  rmdirSync(path);
  // At the latest when the lane is closed.
  await bench.link.close();
  assert.deepEqual(bench.resends, [{ cause: 'reopened', cluster: 0 }]);
  assert.equal(bench.storeFailures, 1);
});

test('a lane that finds no room in the Kafka producer opens its store again, and serves', async (t) => {
  const bench = new Bench(await tempFolder(t));
  await bench.start(t);
  await bench.setTopic(1);
  bench.refusal = coded('BACKEND_UNAVAILABLE', 'too many former lanes still have messages');
  bench.breakStore();
  // Who comes meanwhile is not kept waiting.
  await until(() => bench.refused > 0, { what: 'a try to open it' });
  await assert.rejects(bench.openSession(), { code: 'LANE_OUT' });
  bench.refusal = undefined;
  await bench.link.call('flush', 0);
  bench.produce(1, 1);
  await until(() => bench.answered === 1, { what: 'the answer' });
  assert.deepEqual(bench.stored, ['t1']);
});
