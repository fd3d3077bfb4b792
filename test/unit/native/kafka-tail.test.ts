import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  KAFKA_CODE,
  type KafkaTail,
  openKafkaTail,
  type TailRequest,
  type TailResult,
} from '../../../src/native/kafka.ts';
import { GIVE_UP_MS, until, within } from '../../support/wait.ts';
import { TestLane } from './kafka-lane.ts';
import { type TailRecord, tailRecords } from './kafka-records.ts';

const BEGINNING = 1;
const END = 2;
const TIME = 3;

let lane: TestLane;
let tail: KafkaTail;
let topics = 0;

before(async () => {
  lane = new TestLane();
  const { brokers } = await lane.producer.metadata({ timeoutMs: 10_000 });
  const [broker] = brokers;
  const servers = `${broker?.host}:${broker?.port}`;
  tail = openKafkaTail({ config: { 'bootstrap.servers': servers }, cursorsMax: 16 });
});

after(async () => {
  await tail.close();
  await lane.close();
});

/** A topic of its own with values `0`, `1`, … in partition 0. */
async function topicWith(count: number, valueAt: (i: number) => string | Buffer = String) {
  const id = ++topics;
  const topic = `tailed-${id}`;
  await lane.topic(id, topic);
  const produce = async (from: number, to: number) => {
    const seen = lane.verdicts.length;
    const values = Array.from({ length: to - from }, (_, i) => valueAt(from + i));
    lane.produce(values.map((value) => ({ topic: id, partition: 0, value })));
    await lane.hasVerdicts(seen + values.length);
  };
  if (count > 0) await produce(0, count);
  return { id, topic, produce };
}

function read(topic: string, request: Partial<TailRequest>): Promise<TailResult> {
  const whole = { partition: 0, from: 0, position: 0, bytesMax: 1 << 20, waitMs: 0, ...request };
  return within(tail.read({ topic, ...whole }), GIVE_UP_MS, 'a read');
}

async function readAll(topic: string, end: number): Promise<TailRecord[]> {
  const records: TailRecord[] = [];
  for (let position = 0; position < end; ) {
    const result = await read(topic, { position });
    assert.deepEqual([result.startOffset, result.endOffset], [0, end]);
    records.push(...tailRecords(result.records));
    position = result.nextOffset;
  }
  return records;
}

const valuesOf = (result: TailResult) =>
  tailRecords(result.records).map((r) => r.value?.toString() ?? null);

test('a read gives id, key, headers, null value and timestamp as they were sent', async () => {
  const { id, topic } = await topicWith(0);
  const seen = lane.verdicts.length;
  const first = lane.sequence;
  lane.produce([
    {
      topic: id,
      partition: 0,
      key: 'k',
      headers: [
        ['a', 'x'],
        ['b', null],
        ['c', ''],
      ],
      value: 'v',
    },
    { topic: id, partition: 0, key: '', value: null },
    { topic: id, partition: 0, value: '' },
  ]);
  await lane.hasVerdicts(seen + 3);
  const [one, two, three] = await readAll(topic, 3);
  assert.deepEqual(one?.id, { producer: 7n, epoch: 1, sequence: first });
  assert.deepEqual(two?.id, { producer: 7n, epoch: 1, sequence: first + 1 });
  assert.equal(one?.key, 'k');
  assert.deepEqual(one?.headers, [
    ['a', 'x'],
    ['b', null],
    ['c', ''],
  ]);
  assert.equal(one?.value?.toString(), 'v');
  assert.equal(two?.key, '');
  assert.equal(two?.headers, undefined);
  assert.equal(two?.value, null);
  assert.equal(three?.key, undefined);
  assert.equal(three?.value?.length, 0);
  assert.ok(Math.abs((one?.timestampMs ?? 0) - Date.now()) < 60_000);
});

test('consecutive reads go on where the one before ended and stay in the bound', async () => {
  const { topic } = await topicWith(5_000, (i) => `value-${i}`);
  const got: (string | null)[] = [];
  let next = 0;
  let reads = 0;
  while (next < 5_000) {
    const result = await read(topic, { position: next, bytesMax: 20_000 });
    assert.ok(result.records.length <= 20_000);
    assert.equal(result.nextOffset, next + result.count);
    next = result.nextOffset;
    got.push(...valuesOf(result));
    reads++;
  }
  assert.ok(reads > 5);
  assert.deepEqual(
    got,
    Array.from({ length: 5_000 }, (_, i) => `value-${i}`),
  );
});

test('a read at the end gives no records, of which views can be made', async () => {
  const { topic } = await topicWith(1);
  const { count, records } = await read(topic, { position: 1 });
  const { buffer, byteOffset, byteLength } = records;
  assert.deepEqual([count, Buffer.from(buffer, byteOffset, byteLength).length], [0, 0]);
});

test('a record larger than the bound is given alone', async () => {
  const { topic } = await topicWith(3, () => Buffer.alloc(1_000, 'x'));
  const result = await read(topic, { from: BEGINNING, bytesMax: 10 });
  assert.equal(result.count, 1);
  assert.equal(result.nextOffset, 1);
});

test('a read at the end waits for the next record, or gives none when the time is over', async () => {
  const { topic, produce } = await topicWith(3);
  const none = await read(topic, { from: END, waitMs: 50 });
  assert.deepEqual([none.count, none.nextOffset, none.endOffset], [0, 3, 3]);
  const waiting = read(topic, { position: none.nextOffset, waitMs: 10_000 });
  await produce(3, 4);
  assert.deepEqual(valuesOf(await waiting), ['3']);
});

test('reads of one partition at different places do not disturb each other', async () => {
  const { topic } = await topicWith(1_000);
  const from = [0, 100, 500, 900, 990, 0];
  const all = await Promise.all(from.map((position) => read(topic, { position, bytesMax: 300 })));
  all.forEach((result, i) => {
    assert.equal(valuesOf(result)[0], `${from[i]}`);
  });
  const again = await Promise.all(
    all.map(({ nextOffset }) => read(topic, { position: nextOffset, bytesMax: 300 })),
  );
  again.forEach((result, i) => {
    assert.equal(valuesOf(result)[0], `${all[i]?.nextOffset}`);
  });
});

test('an offset outside of the log is refused with code 1, and says what there is', async () => {
  const { topic } = await topicWith(3);
  await assert.rejects(read(topic, { position: 50 }), (error: Error & { kafkaCode?: number }) => {
    assert.equal(error.kafkaCode, 1);
    assert.match(error.message, /50 is not in \[0, 3\]/);
    return true;
  });
});

test('offsets gives start and end', async () => {
  const { topic } = await topicWith(7);
  const offsets = await tail.offsets({ topic, partition: 0, timeoutMs: 5_000 });
  assert.deepEqual({ ...offsets }, { startOffset: 0, endOffset: 7 });
});

test('a position by time is asked of the broker', async () => {
  const { topic } = await topicWith(3);
  const future = Date.now() + 3_600_000;
  const result = await read(topic, { from: TIME, position: future });
  assert.equal(result.count, 0);
});

test('closing rejects the reads that wait', async () => {
  const { brokers } = await lane.producer.metadata({ timeoutMs: 10_000 });
  const config = { 'bootstrap.servers': `${brokers[0]?.host}:${brokers[0]?.port}` };
  const { topic } = await topicWith(1);
  const other = openKafkaTail({ config });
  const options = { topic, partition: 0, bytesMax: 100, waitMs: 60_000, position: 1, from: 0 };
  const waiting = other.read(options);
  const refused = assert.rejects(waiting, (error: { kafkaCode?: number }) => {
    assert.equal(error.kafkaCode, -197);
    return true;
  });
  await within(other.close(), GIVE_UP_MS, 'the close');
  await refused;
});

test('more reads of one partition than may be at once take turns', async () => {
  const { topic } = await topicWith(400);
  const positions = Array.from({ length: 60 }, (_, i) => (i * 7) % 400);
  const found = await Promise.all(
    positions.map((position) => read(topic, { position, bytesMax: 1 })),
  );
  const values = found.map(({ records }) => tailRecords(records)[0]?.value?.toString());
  assert.deepEqual(values, positions.map(String));
});

test('a read that goes on where one ended fails while no broker can be reached', async () => {
  const cluster = new TestLane();
  await cluster.topic(1, 'left-alone');
  const { brokers } = await cluster.producer.metadata({ timeoutMs: 10_000 });
  const config = { 'bootstrap.servers': `${brokers[0]?.host}:${brokers[0]?.port}` };
  const other = openKafkaTail({ config });
  const at = { topic: 'left-alone', partition: 0, bytesMax: 100, waitMs: 50 };
  const first = await other.read({ ...at, from: END, position: 0 });
  assert.deepEqual([first.count, first.nextOffset], [0, 0]);
  await cluster.close();
  const failure = await until(
    async () => {
      try {
        await other.read({ ...at, from: 0, position: 0 });
        return undefined;
      } catch (error) {
        return error as { kafkaCode?: number };
      }
    },
    { what: 'a read that fails' },
  );
  const { _ALL_BROKERS_DOWN, _TIMED_OUT, _TRANSPORT } = KAFKA_CODE;
  const away: (number | undefined)[] = [_ALL_BROKERS_DOWN, _TIMED_OUT, _TRANSPORT];
  assert(away.includes(failure.kafkaCode), `${failure.kafkaCode}`);
  await other.close();
});
