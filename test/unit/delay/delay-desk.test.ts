import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { formatDelayId } from '../../../protocol/src/delay-id.ts';
import { type CodedError, coded } from '../../../src/base/errors.ts';
import { DelayDesk } from '../../../src/delay/delay-desk.ts';
import type { DelaySite } from '../../../src/delay/delay-sites.ts';
import { SeriesDesk } from '../../../src/delay/series-desk.ts';
import { Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';

console.log(`seed=${seed}`);

const hour = 3_600_000;

/** Two clusters and what asks both; one may be away. */
class Pair {
  readonly worlds = [new DelayWorld(0), new DelayWorld(1)] as const;
  readonly desk: DelayDesk;
  readonly series: SeriesDesk;
  readonly away = new Set<number>();
  inUse: 0 | 1 = 0;

  constructor() {
    const { away } = this;
    const siteOf = (world: DelayWorld): DelaySite => ({
      number: world.number,
      get commands() {
        return away.has(world.number) ? undefined : world.commands;
      },
      get series() {
        return away.has(world.number) ? undefined : world.series;
      },
      whyClosed: coded('BACKEND_UNAVAILABLE', 'away'),
    });
    const sites = this.worlds.map(siteOf);
    this.desk = new DelayDesk(sites, this.worlds[0].clock);
    this.series = new SeriesDesk(sites, () => this.inUse);
  }

  static async start(): Promise<Pair> {
    const pair = new Pair();
    for (const world of pair.worlds) await world.start();
    return pair;
  }

  /** The same message in both logs, as one that was sent again at a fail-over. */
  async scheduleBoth(value: string, dueMs: number): Promise<Buffer> {
    const [id] = this.worlds.map((world) => world.schedule({ topic: 't', value, dueMs }));
    for (const world of this.worlds) await world.settle();
    return id as Buffer;
  }

  /** A command, and all that happens meanwhile in both. */
  async does<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    while (!isDone) {
      for (const { clock } of this.worlds) {
        clock.jump(10);
        clock.fire();
      }
      for (let i = 0; i < 30 && !isDone; i++) await setImmediate();
    }
    return done;
  }

  async jump(byMs: number): Promise<string[]> {
    for (const world of this.worlds) await world.jump(byMs);
    return this.worlds.flatMap(({ fired }) => fired.map(({ value }) => value));
  }

  async stop(): Promise<void> {
    for (const world of this.worlds) await world.stop();
  }
}

test('pages of both clusters are one list by due time, whatever the limit', async () => {
  const random = new Seeded(seed);
  const pair = await Pair.start();
  const { nowMs } = pair.worlds[0].clock;
  const expected: { key: string; cluster: number }[] = [];
  for (let i = 0; i < 60; i++) {
    const world = random.pick([...pair.worlds]);
    const dueMs = nowMs + hour + random.below(40);
    const id = world.schedule({ topic: random.pick(['t', 'u']), value: `${i}`, dueMs });
    expected.push({ key: `${dueMs} ${formatDelayId(id)}`, cluster: world.number });
  }
  for (const world of pair.worlds) await world.settle();
  expected.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.cluster - b.cluster));
  for (const limit of [1, 3, 7, 59, 60, 61]) {
    const found: { key: string; cluster: number }[] = [];
    for (let cursor: string | undefined, page = 0; page < 100; page++) {
      const query = { limit, ...(cursor === undefined ? {} : { cursor }) };
      const answer = await pair.does(pair.desk.list(query));
      assert(answer.delays.length <= limit);
      for (const { dueMs, id, cluster } of answer.delays) {
        found.push({ key: `${dueMs} ${id}`, cluster });
      }
      cursor = answer.cursor;
      if (cursor === undefined) break;
    }
    assert.deepEqual(found, expected, `limit ${limit}`);
  }
  for (const cursor of ['', '-.-', 'x.y', 'ab', '0.0.0']) {
    const asked = pair.desk.list({ limit: 1, cursor });
    await assert.rejects(pair.does(asked), { code: 'INVALID_ARGUMENT' });
  }
  await pair.stop();
});

test('where a page ended before its limit, the other cluster waits for it', async () => {
  const line = (dueMs: number, cluster: 0 | 1) => ({
    ...{ id: `d1-${`${dueMs}`.padStart(48, '0')}`, topic: 't', acceptedMs: 0 },
    ...{ dueMs, messageId: '', valueBytes: 0, cluster },
  });
  const at = (dueMs: number) => `64${dueMs.toString(16).padStart(16, '0')}${'0'.repeat(50)}`;
  const pages = [
    new Map<string | undefined, object>([
      // So far it looked, and found nothing of the topic.
      [undefined, { delays: [], cursor: at(5) }],
      [at(5), { delays: [line(6, 0)] }],
    ]),
    new Map<string | undefined, object>([
      [undefined, { delays: [line(3, 1), line(7, 1)] }],
      [`${at(3).slice(0, -2 - 48)}${line(3, 1).id.slice(3)}00`, { delays: [line(7, 1)] }],
    ]),
  ];
  const sites = pages.map((known, number) => ({
    number,
    commands: { list: async ({ cursor }: { cursor?: string }) => known.get(cursor) },
  }));
  const desk = new DelayDesk(sites as unknown as DelaySite[], new DelayWorld().clock);
  const first = await desk.list({ limit: 10 });
  assert.deepEqual(first.delays, [line(3, 1)]);
  const last = await desk.list({ limit: 10, cursor: first.cursor ?? '' });
  assert.deepEqual([last.delays, last.cursor], [[line(6, 0), line(7, 1)], undefined]);
});

test('a cancel ends every copy, and is one only when each cluster has answered', async () => {
  const pair = await Pair.start();
  const [primary, backup] = pair.worlds;
  const dueMs = primary.clock.nowMs + hour;
  const id = await pair.scheduleBoth('a', dueMs);
  assert.equal(await pair.does(pair.desk.cancel(id)), 'cancelled');
  assert.equal(await pair.does(pair.desk.cancel(id)), 'notFound');

  const second = await pair.scheduleBoth('b', dueMs);
  backup.logIsAway = true;
  await assert.rejects(pair.does(pair.desk.cancel(second)), (error: CodedError) => {
    assert.equal(error.code, 'BACKEND_UNAVAILABLE');
    assert.match(error.message, /^cancelled on the primary cluster; the backup cluster cannot be/);
    return true;
  });
  // Again, and still away: what the first try did is not forgotten.
  await assert.rejects(
    pair.does(pair.desk.cancel(second)),
    /^CodedError: cancelled on the primary/,
  );
  backup.logIsAway = false;
  assert.equal(await pair.does(pair.desk.cancel(second)), 'cancelled');

  const only = backup.schedule({ topic: 't', value: 'c', dueMs });
  await backup.settle();
  pair.away.add(0);
  await assert.rejects(pair.does(pair.desk.cancel(Buffer.from(only))), {
    code: 'BACKEND_UNAVAILABLE',
    message: /^the primary cluster cannot be asked .*away\); cancelled on the backup cluster$/,
  });
  pair.away.clear();
  assert.equal(await pair.does(pair.desk.cancel(only)), 'cancelled');
  assert.deepEqual(await pair.jump(2 * hour), []);
  await pair.stop();
});

test('a move that one cluster has done stays done when it is tried again, and is no other move', async () => {
  const pair = await Pair.start();
  const [, backup] = pair.worlds;
  const dueMs = backup.clock.nowMs + hour;
  const id = backup.schedule({ topic: 't', value: 'a', dueMs });
  await backup.settle();
  pair.away.add(0);
  const move = (toMs: number) => pair.does(pair.desk.move(id, toMs));
  const soonMs = backup.clock.nowMs + 1_000;
  await assert.rejects(move(soonMs), /moved on the backup cluster$/);
  await pair.jump(2_000);
  assert.equal(backup.fired.length, 1);
  await assert.rejects(move(soonMs), /moved on the backup cluster$/);
  pair.away.clear();
  assert.equal(await move(soonMs + 500), 'moved', 'by a time from now, tried a little later');
  pair.away.add(0);
  await assert.rejects(move(soonMs), /nothing was found on the backup cluster$/);
  pair.away.clear();
  assert.equal(await move(dueMs), 'notFound', 'what fired cannot be moved to later');
  await pair.stop();
});

test('nothing is notFound before each cluster said so, and what one has is shown', async () => {
  const pair = await Pair.start();
  const [primary, backup] = pair.worlds;
  const dueMs = primary.clock.nowMs + hour;
  const id = backup.schedule({ topic: 't', value: 'a', dueMs });
  await backup.settle();
  const other = Buffer.from(id);
  other.writeUInt8(id.readUInt8(23) ^ 1, 23);
  assert.equal(await pair.does(pair.desk.get(other)), undefined);
  assert.equal(await pair.does(pair.desk.topicOf(other)), undefined);
  pair.away.add(0);
  const shown = await pair.does(pair.desk.get(id));
  assert.deepEqual([shown?.cluster, shown?.value?.toString()], [1, 'a']);
  assert.equal(await pair.does(pair.desk.topicOf(id)), 't');
  const away = { code: 'BACKEND_UNAVAILABLE' };
  await assert.rejects(pair.does(pair.desk.get(other)), away);
  await assert.rejects(pair.does(pair.desk.topicOf(other)), away);
  await assert.rejects(pair.does(pair.desk.cancel(other)), away);
  const page = await pair.does(pair.desk.list({ limit: 10 }));
  assert.deepEqual([page.delays.length, page.cursor, page.unreachable], [1, undefined, [0]]);
  const { pending, clusters, unreachable } = await pair.does(pair.desk.stats());
  assert.deepEqual([pending, clusters?.map(({ cluster }) => cluster), unreachable], [1, [1], [0]]);
  pair.away.add(1);
  await assert.rejects(pair.does(pair.desk.list({ limit: 10 })), away);
  await assert.rejects(pair.does(pair.desk.stats()), away);
  await pair.stop();
});

test('what a node cannot know it does not call not there: its partitions lost, its log silent', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + hour;
  const known = world.schedule({ topic: 't', value: 'a', dueMs });
  await world.settle();
  // It is in the log, and not read yet; then the partitions are lost.
  world.log.isHeld = true;
  const unread = world.schedule({ topic: 't', value: 'b', dueMs });
  const asked = [world.commands.get(unread), world.commands.topicOf(unread)];
  for (const one of asked) one.catch(() => {});
  await world.settle();
  world.log.lose();
  for (const one of asked) await assert.rejects(one, { code: 'RETRY_LATER' });
  await assert.rejects(world.commands.list({ limit: 1 }), { code: 'RETRY_LATER' });
  await assert.rejects(world.commands.cancel(known), { code: 'RETRY_LATER' });
  world.log.isHeld = false;
  world.log.assign();
  await world.settle();
  await world.jump(2_000);
  assert.equal((await world.does(world.commands.get(unread)))?.dueMs, dueMs);

  const { consumers } = world;
  const { span } = consumers;
  consumers.span = () => new Promise(() => {});
  const other = Buffer.from(known);
  other.writeUInt8(known.readUInt8(23) ^ 1, 23);
  const silent = { code: 'BACKEND_UNAVAILABLE' };
  const [first, ...more] = [world.commands.get(other), world.commands.cancel(other)];
  await assert.rejects(world.does(Promise.all([first, ...more])), silent);
  assert.equal((await world.does(world.commands.get(known)))?.dueMs, dueMs, 'it is in the index');
  consumers.span = span;
  assert.equal(await world.does(world.commands.cancel(other)), 'notFound');
  await world.stop();
});

test('another node is named for the cluster in which it has the partition, save where nothing is', async () => {
  const pair = await Pair.start();
  const [primary, backup] = pair.worlds;
  backup.consumers.groupMembers = async () => new Map();
  backup.log.lose();
  backup.log.assignNone();
  const dueMs = primary.clock.nowMs + hour;
  const first = primary.schedule({ topic: 't', value: 'a', dueMs });
  await primary.settle();
  assert.equal(await pair.does(pair.desk.cancel(first)), 'cancelled');
  assert.equal(await pair.does(pair.desk.get(first)), undefined);
  // So that both number the next one alike.
  backup.schedule({ topic: 't', value: 'other', dueMs });
  const second = await pair.scheduleBoth('b', dueMs);
  await assert.rejects(pair.does(pair.desk.cancel(second)), (error: CodedError) => {
    assert.equal(error.code, 'NOT_OWNER');
    assert.match(error.message, /^cancelled on the primary .* \(NOT_OWNER: another node has this/);
    return true;
  });
  await pair.stop();
});

test('a move moves every copy, and its due time is refused in words of its own', async () => {
  const pair = await Pair.start();
  const [primary, backup] = pair.worlds;
  const { nowMs } = primary.clock;
  const id = await pair.scheduleBoth('a', nowMs + hour);
  assert.equal(await pair.does(pair.desk.move(id, nowMs + 3 * hour)), 'moved');
  assert.deepEqual(await pair.jump(2 * hour), []);
  for (const dueMs of [-1, Number.NaN]) {
    await assert.rejects(pair.desk.move(id, dueMs), {
      code: 'INVALID_ARGUMENT',
      message: `the new due time is ${dueMs}: it is in milliseconds since 1970, 0 or more`,
    });
  }
  const far = nowMs + 403 * 24 * hour;
  await assert.rejects(pair.desk.move(id, far), { code: 'BEYOND_HORIZON' });
  backup.logIsAway = true;
  const late = pair.desk.move(id, nowMs + 5 * hour);
  await assert.rejects(pair.does(late), /^CodedError: moved on the primary cluster; the backup/);
  backup.logIsAway = false;
  assert.equal(await pair.does(pair.desk.move(id, nowMs + 4 * hour)), 'moved');
  assert.deepEqual(await pair.jump(1.5 * hour), []);
  assert.deepEqual(await pair.jump(hour), ['a', 'a']);
  assert.equal(primary.fired[0]?.id, backup.fired[0]?.id);
  await pair.stop();
});

test('a series is found, replaced and cancelled where it stands, and begun where it may be', async () => {
  const pair = await Pair.start();
  const request = { topic: 't', value: Buffer.from('s'), every: { intervalMs: hour } } as const;
  const free = () => {};
  const mayRead = () => true;
  const listed = async () => {
    const found: string[] = [];
    for (let cursor: string | undefined, page = 0; page < 10; page++) {
      const query = { limit: 1, mayRead, ...(cursor === undefined ? {} : { cursor }) };
      const answer = await pair.does(pair.series.list(query));
      found.push(...answer.series.map(({ series }) => series));
      cursor = answer.cursor;
      if (cursor === undefined) break;
    }
    return found;
  };
  await pair.does(pair.series.schedule({ ...request, series: 'named' }, free));
  pair.inUse = 1;
  const drawn = await pair.does(pair.series.schedule(request, free));
  assert.deepEqual(await listed(), ['named', drawn.series]);
  // Replaced where it stands.
  await pair.does(pair.series.schedule({ ...request, series: drawn.series }, free));
  assert.deepEqual(await listed(), ['named', drawn.series]);

  pair.away.add(1);
  const again = { ...request, series: drawn.series };
  await assert.rejects(pair.does(pair.series.schedule(again, free)), {
    code: 'BACKEND_UNAVAILABLE',
  });
  await assert.rejects(pair.does(pair.series.cancel('other', free)), {
    code: 'BACKEND_UNAVAILABLE',
  });
  const { unreachable } = await pair.does(pair.series.list({ limit: 9, mayRead }));
  assert.deepEqual(unreachable, [1]);
  pair.away.clear();
  pair.away.add(0);
  const named = { ...request, series: 'named' };
  await assert.rejects(pair.does(pair.series.schedule(named, free)), {
    code: 'BACKEND_UNAVAILABLE',
  });
  assert.equal(await pair.does(pair.series.cancel(drawn.series, free)), 'cancelled');
  pair.away.clear();
  assert.equal(await pair.does(pair.series.cancel('named', free)), 'cancelled');
  assert.equal(await pair.does(pair.series.cancel('named', free)), 'notFound');
  assert.deepEqual(await listed(), []);
  await pair.stop();
});
