import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../../src/base/log.ts';
import { LaneStats } from '../../../../src/produce/intake/lane-stats.ts';
import { Backlog } from '../../../../src/produce/sending/backlog.ts';
import { DrainPace } from '../../../../src/produce/sending/drain-pace.ts';
import { Road } from '../../../../src/produce/sending/road.ts';
import { StoredTopics } from '../../../../src/produce/sending/stored-topics.ts';
import type { MessageRun } from '../../../../src/produce/sending/verdict-rows.ts';
import type { LaneStore } from '../../../../src/store/lane-store.ts';
import { ManualClock } from '../../store/support.ts';
import { FakeStore } from '../fake-store.ts';
import { FakeProducer, settle } from '../support.ts';

/** The primary's road of a lane that has stored four messages of topic 1. */
class RoadBench {
  readonly producer = new FakeProducer({ topics: new Map() });
  readonly alone = new FakeProducer({ topics: new Map() });
  readonly returned: MessageRun[] = [];
  readonly refused: MessageRun[] = [];
  isParked = false;
  readonly road: Road;

  constructor() {
    const store = new FakeStore();
    store.append([1, 1, 1, 1]);
    const log = silentLogger();
    const topics = new StoredTopics(() => {}, log);
    topics.set(1, 't1');
    const originNode = new Uint8Array(8);
    const stats = new LaneStats();
    const clock = new ManualClock();
    const pace = new DrainPace({ clock, stats, isGentle: () => true, takeTurns: async () => {} });
    const backlog = { store: store as unknown as LaneStore, topics, originNode, stats };
    this.road = new Road({
      cluster: 0,
      producer: this.producer,
      openAlone: (onVerdicts) => {
        this.alone.onRows = onVerdicts;
        return { producer: this.alone, register: (id) => this.alone.setTopic(id, 't1') };
      },
      clock,
      log,
      newBacklog: () => new Backlog(backlog, pace),
      end: () => 5,
      floor: () => 1,
      isParked: () => this.isParked,
      work: () => {},
      onUsable: () => {},
      onSent: () => {},
      onConfirmed: () => {},
      onRefused: (run) => this.refused.push(run),
      onReturned: (run) => this.returned.push(run),
      onIsolated: ({ topic }) => {
        this.road.lags.begin(topic, 5).isAlone = true;
      },
      onDealt: () => {},
      onResend: () => {},
      onMissing: () => {},
      onLevel: () => {},
      onFailure: (error) => assert.fail(`${error}`),
    });
    this.road.isolate({ topic: 1, first: 1, count: 4 }, 'MSG_SIZE_TOO_LARGE');
    this.road.lags.begin(1, 5).isAlone = true;
  }
}

test('what goes alone and comes back once its topic is parked goes to the parked log', async () => {
  const bench = new RoadBench();
  bench.alone.queueRoom = 2;
  await settle();
  bench.isParked = true;
  bench.alone.judge(1, 1, 10);
  bench.alone.judge(1, 1, -195);
  assert.deepEqual(bench.refused, [], 'its log is told, and refuses it in its own time');
  assert.deepEqual(bench.returned, [
    { topic: 1, first: 1, count: 1 },
    { topic: 1, first: 2, count: 1 },
  ]);
  bench.road.close();
});

test('what waits to go alone is given back to its place, and noted as sent again', async () => {
  const bench = new RoadBench();
  bench.alone.queueRoom = 1;
  await settle();
  const lag = bench.road.lags.get(1);
  bench.road.giveAllBack();
  assert.deepEqual([lag?.returned.first, lag?.returned.count, lag?.cause], [2, 3, 'alone']);
  assert.deepEqual(bench.returned, []);
  bench.road.close();
});
