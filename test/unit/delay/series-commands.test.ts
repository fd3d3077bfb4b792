import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayIdOfSeries } from '../../../protocol/src/delay-id.ts';
import type { MissedFirings } from '../../../protocol/src/series.ts';
import { type DelayRecord, delayRecord, readDelayRecord } from '../../../src/delay/delay-record.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';
import type { SeriesRequest } from '../../../src/delay/series-commands.ts';
import { DelayWorld } from './delay-world.ts';

const day = 86_400_000;
const may = () => {};
const all = { limit: 1_000, mayRead: () => true };

async function started(): Promise<DelayWorld> {
  const world = new DelayWorld();
  await world.start();
  return world;
}

function schedule(world: DelayWorld, request: Partial<SeriesRequest> = {}) {
  const every = { intervalMs: 1_000 };
  const value = Buffer.from('tick');
  return world.does(
    world.series.schedule({ series: 'a', topic: 't', value, every, ...request }, may),
  );
}

function cancel(world: DelayWorld, number?: number, series = 'a') {
  const { series: commands } = world;
  return world.does(
    number === undefined
      ? commands.cancel(series, may)
      : commands.cancelFiring(series, number, may),
  );
}

const numbersOf = ({ fired }: DelayWorld, series = 'a') =>
  fired
    .filter(({ headers }) => headers['mq-series'] === series)
    .map(({ headers }) => Number(headers['mq-series-number']));

test('each firing has the message, its own due time, the name and number, and an id of both', async () => {
  const world = await started();
  const startMs = world.clock.nowMs;
  const answer = await schedule(world, { count: 3, key: Buffer.from('k') });
  assert.deepEqual(answer, { series: 'a', nextMs: startMs + 1_000 });
  for (let i = 0; i < 6; i++) await world.jump(500);
  assert.deepEqual(numbersOf(world), [1, 2, 3]);
  const producer = world.fired[0]?.id.split('-')[0];
  for (const [i, fired] of world.fired.entries()) {
    assert.equal(fired.value, 'tick');
    assert.equal(fired.id, `${producer}-0-${i + 1}`);
    assert.equal(fired.dueMs, startMs + 1_000 * (i + 1));
    assert.equal(fired.atMs, fired.dueMs);
    assert.deepEqual(Object.keys(fired.headers), ['mq-series', 'mq-series-number']);
  }
  await world.jump(day);
  assert.equal(world.fired.length, 3);
  assert.equal(world.cluster.pending, 0, 'its last firing ended it');
  assert.deepEqual((await world.series.list(all)).series, []);
  await world.stop();
});

test('a series that waits is one message: shown as its next firing, and listed with its rule', async () => {
  const world = await started();
  const { nowMs } = world.clock;
  const every = { cron: '0 3 * * *', timeZone: 'Europe/Berlin' };
  await schedule(world, { every, untilMs: nowMs + 90 * day, missed: 'skip' });
  assert.equal(world.cluster.pending, 1);
  const id = delayIdOfSeries('a');
  const shown = await world.commands.get(id);
  assert.deepEqual([shown?.series, shown?.topic, shown?.value?.toString()], ['a', 't', 'tick']);
  const [listed] = (await world.series.list(all)).series;
  const nextMs = Date.parse('2023-11-15T02:00:00Z');
  assert.deepEqual(listed, {
    series: 'a',
    topic: 't',
    every,
    fired: 0,
    nextMs,
    nextNumber: 1,
    missed: 'skip',
    untilMs: nowMs + 90 * day,
  });
  assert.equal(shown?.dueMs, nextMs);
  for (const work of [() => world.commands.cancel(id), () => world.commands.move(id, nowMs)]) {
    await assert.rejects(work, { code: 'NOT_SUPPORTED', message: /CANCEL_SERIES/ });
  }
  await world.jump(3 * day);
  assert.deepEqual((await world.commands.list({ limit: 10 })).delays.length, 1);
  await world.stop();
});

test('what is not a series is refused in words', async () => {
  const world = await started();
  const refused = (request: Partial<SeriesRequest>, message: RegExp) =>
    assert.rejects(schedule(world, request), { code: 'INVALID_ARGUMENT', message });
  const { nowMs } = world.clock;
  await refused({ series: '' }, /1 to 128 bytes/);
  await refused({ series: 'ä'.repeat(65) }, /1 to 128 bytes/);
  await refused({ untilMs: nowMs }, /untilMs \d+ is over/);
  await refused({ untilMs: nowMs + 999 }, /would never fire: no time of it is before untilMs/);
  await refused({ every: { cron: '0 0 30 2 *' } }, /would never fire/);
  await refused({ every: { intervalMs: Number.MAX_SAFE_INTEGER } }, /would never fire/);
  await refused({ every: { cron: '* * * *' } }, /4 fields/);
  await refused({ every: { cron: '* * * * *', timeZone: 'x' } }, /no time zone "x"/);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('scheduling a name again replaces the series, with new ids and numbers from 1', async () => {
  const world = await started();
  await schedule(world);
  for (let i = 0; i < 3; i++) await world.jump(1_000);
  await schedule(world, { value: Buffer.from('tock'), every: { intervalMs: 2_000 } });
  for (let i = 0; i < 4; i++) await world.jump(1_000);
  assert.deepEqual(numbersOf(world), [1, 2, 3, 1, 2]);
  const values = world.fired.map(({ value }) => value);
  assert.deepEqual(values, ['tick', 'tick', 'tick', 'tock', 'tock']);
  assert.equal(new Set(world.fired.map(({ id }) => id)).size, 5);
  assert.equal(world.cluster.pending, 1);
  const refuses = (topic: string) => {
    throw Object.assign(new TypeError(topic), { code: 'NOT_AUTHORIZED' });
  };
  const stolen = { series: 'a', topic: 'u', value: null, every: { intervalMs: 1_000 } };
  await assert.rejects(world.series.schedule(stolen, refuses), { message: 't' });
  await assert.rejects(world.series.cancel('a', refuses), { message: 't' });
  await world.jump(2_000);
  assert.deepEqual(numbersOf(world).at(-1), 3, 'it goes on as it was');
  await world.stop();
});

test('a series is cancelled whole, or one firing of it', async () => {
  const world = await started();
  await schedule(world, { count: 8 });
  await world.jump(1_000);
  assert.equal(await cancel(world, 1), 'tooLate');
  assert.equal(await cancel(world, 9), 'notFound');
  assert.equal(await cancel(world, 2, 'b'), 'notFound');
  assert.equal(await cancel(world, 2), 'cancelled');
  assert.equal(await cancel(world, 5), 'cancelled');
  assert.equal(await cancel(world, 4), 'cancelled');
  assert.equal(await cancel(world, 4), 'cancelled');
  const [listed] = (await world.series.list(all)).series;
  assert.deepEqual([listed?.nextNumber, listed?.cancelled, listed?.fired], [3, [4, 5], 1]);
  await world.stop();
  await world.start();
  for (let i = 0; i < 5; i++) await world.jump(1_000);
  assert.deepEqual(numbersOf(world), [1, 3, 6]);
  assert.equal(await cancel(world, 8), 'cancelled');
  assert.equal(await cancel(world, 7), 'cancelled');
  assert.equal(world.cluster.pending, 0, 'none is left');
  await schedule(world);
  assert.equal(await cancel(world), 'cancelled');
  assert.equal(await cancel(world), 'notFound');
  await world.jump(day);
  assert.deepEqual(numbersOf(world), [1, 3, 6]);
  await world.stop();
});

test('no more than a hundred firings to come are cancelled one by one', async () => {
  const world = await started();
  await schedule(world);
  for (let number = 2; number <= 101; number++) await cancel(world, number);
  await assert.rejects(cancel(world, 102), { code: 'INVALID_ARGUMENT', message: /100 firings/ });
  await world.jump(1_000);
  await world.jump(101_000);
  assert.deepEqual(numbersOf(world), [1, 102]);
  await world.stop();
});

const policies: readonly [MissedFirings, readonly number[]][] = [
  ['skip', [1, 2, 6]],
  ['once', [1, 2, 5, 6]],
  ['all', [1, 2, 3, 4, 5, 6]],
];

for (const [missed, numbers] of policies) {
  test(`what was missed while no node ran: ${missed}`, async () => {
    const world = await started();
    const startMs = world.clock.nowMs;
    const hour = 3_600_000;
    await schedule(world, { every: { intervalMs: hour }, missed });
    await world.jump(hour);
    await world.jump(hour);
    await world.stop();
    world.clock.jump(3 * hour + 120_000);
    await world.start();
    await world.jump(hour - 120_000);
    assert.deepEqual(numbersOf(world), numbers);
    for (const { dueMs, headers } of world.fired) {
      assert.equal(dueMs, startMs + hour * Number(headers['mq-series-number']));
    }
    const late = { skip: 3, once: 2, all: 0 }[missed];
    assert.equal(world.cluster.stats.seriesMissed, late);
    const [listed] = (await world.series.list(all)).series;
    assert.deepEqual([listed?.fired, listed?.nextNumber], [numbers.length, 7]);
    await world.stop();
  });
}

test('a firing less than a minute late is in time, and a topic that refuses gets it later', async () => {
  const world = await started();
  await schedule(world, { every: { intervalMs: 3_600_000 }, missed: 'skip' });
  world.refusing.add('t');
  await world.jump(3_600_000);
  world.refusing.clear();
  await world.jump(30_000);
  assert.deepEqual(numbersOf(world), [1]);
  world.refusing.add('t');
  await world.jump(3_600_000 - 30_000);
  await world.jump(90_000);
  world.refusing.clear();
  await world.jump(30_000);
  await world.jump(1);
  assert.deepEqual(numbersOf(world), [1], 'firing 2 was missed');
  await world.jump(3_600_000 - 120_001);
  assert.deepEqual(numbersOf(world), [1, 3]);
  await world.stop();
});

test('commands wait for a firing that is on its way, and give up in words when it stays', async () => {
  const world = await started();
  await schedule(world);
  world.clock.jump(1_000);
  world.clock.fire();
  const cancelled = world.series.cancel('a', may);
  assert.equal(await world.does(cancelled), 'cancelled');
  assert.deepEqual(numbersOf(world), [1]);
  await schedule(world);
  world.logIsAway = true;
  await world.jump(1_000);
  await assert.rejects(cancel(world), { code: 'RETRY_LATER', message: /on its way/ });
  world.logIsAway = false;
  await world.jump(30_000);
  assert.equal(await cancel(world), 'cancelled');
  await world.jump(day);
  const ids = world.fired.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'none twice');
  await world.stop();
});

test('a list comes in pages, without those that may not be read', async () => {
  const world = await started();
  for (let i = 0; i < 25; i++) {
    await schedule(world, { series: `s${i}`, topic: i % 5 === 0 ? 'hidden' : 't' });
  }
  await world.does(
    world.series.schedule({ topic: 't', value: null, every: { intervalMs: 1_000 } }, may),
  );
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: 4, mayRead: (topic: string) => topic === 't' };
    const page = await world.series.list({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    assert(page.series.length <= 4);
    seen.push(...page.series.map(({ series }) => series));
    ({ cursor } = page);
  } while (cursor !== undefined);
  assert.equal(seen.length, 21);
  assert.equal(new Set(seen).size, 21);
  assert.equal(seen.filter((name) => /^s-[0-9a-f]{16}$/.test(name)).length, 1);
  await assert.rejects(world.series.list({ ...all, cursor: 'x' }), { code: 'INVALID_ARGUMENT' });
  await world.stop();
});

test('a series of a newer node stays, is shown, and can be cancelled or replaced', async () => {
  const world = await started();
  await schedule(world);
  await schedule(world, { series: 'b' });
  const id = delayIdOfSeries('a');
  const log = world.log.partitions[id[1] as number] as Buffer[];
  const bytes = Buffer.from(log.at(-1) as Buffer);
  bytes[bytes.indexOf('version') + 'version'.length] = 2;
  const record = readDelayRecord(bytes) as DelayRecord;
  world.take(delayRecord(delayTopic, record, record.target as Buffer, undefined));
  await world.settle();
  await world.jump(5_000);
  assert.deepEqual(numbersOf(world), []);
  assert.equal(numbersOf(world, 'b').length, 1);
  assert.equal((await world.commands.get(id))?.topic, 't');
  assert.equal((await world.commands.list({ limit: 10 })).delays.length, 2);
  const names = (await world.series.list(all)).series.map(({ series }) => series);
  assert.deepEqual(names, ['b']);
  assert.equal(await cancel(world), 'cancelled');
  assert.equal(world.cluster.pending, 1);
  await world.stop();
});
