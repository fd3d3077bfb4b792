import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { EmbeddedBackend } from '../../../../src/backend/embedded/embedded-backend.ts';
import { EmbeddedLog } from '../../../../src/backend/embedded/embedded-log.ts';
import { type LaneControl, logHandlers } from '../../../../src/backend/embedded/lane-control.ts';
import { OwnRecords } from '../../../../src/backend/embedded/own-records.ts';
import { openTopic } from '../../../../src/backend/open-topic.ts';
import { tailFrom } from '../../../../src/backend/port.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { FileCatalog } from '../../../../src/catalog/file-catalog.ts';
import { decode, FakeClock, fakeBuilder, MemoryChunks, MemoryGroups } from './doubles.ts';

describe('EmbeddedBackend', () => {
  let folder: string;
  let log: EmbeddedLog;
  let backend: EmbeddedBackend;
  let chunks: MemoryChunks;
  const open = async () => {
    log = await EmbeddedLog.open({
      chunks,
      clock: new FakeClock(),
      log: silentLogger(),
      retention: { ms: undefined, bytes: undefined },
      onFailure: (error) => assert.fail(String(error)),
    });
    const own = new OwnRecords({
      log,
      crc32c: () => 0,
      onWaiting: () => undefined,
      isFull: () => false,
    });
    const handlers = logHandlers({ log, own, groups: new MemoryGroups() });
    // What crosses to a lane is copied, as between threads.
    const lane: LaneControl = { call: (name, args) => handlers[name](structuredClone(args)) };
    const book = await FileCatalog.open(join(folder, 'topics.json'), systemClock);
    backend = await EmbeddedBackend.open({ book, lane, partitions: 4, messageBytesMax: 1_000_000 });
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'embedded-'));
    chunks = new MemoryChunks();
    await open();
  });
  afterEach(async () => {
    await log.close();
    await rm(folder, { recursive: true });
  });
  const put = (topic: number, value: string) => {
    const plan = log.plan(fakeBuilder([{ topic, partition: 0, value }]), {
      ids: new Uint8Array(16),
      acceptedSegments: new Int32Array(1),
    });
    chunks.append(plan);
    log.stored(plan);
  };
  const tail = (waitMs: number, signal?: AbortSignal) =>
    backend.tail({
      topic: 'orders',
      partition: 0,
      from: tailFrom.beginning,
      position: 0,
      bytesMax: 1000,
      waitMs,
      signal,
    });

  test('creates topics with defaults or as asked, and knows them after a restart', async () => {
    assert.equal(await backend.describeTopic('orders'), undefined);
    const made = await backend.createTopic({ name: 'orders' });
    assert.deepEqual(made, {
      name: 'orders',
      partitions: 4,
      messageBytesMax: 1_000_000,
      replicationFactor: 1,
      minInsyncReplicas: 1,
      config: {},
    });
    const config = { 'retention.ms': '-1', 'max.message.bytes': '500' };
    await backend.createTopic({ name: 'small', partitions: 1, config });
    put(1, 'hello');
    await open();
    assert.deepEqual(await backend.describeTopic('orders'), made);
    assert.equal((await backend.describeTopic('small'))?.messageBytesMax, 500);
    assert.deepEqual(await backend.listTopics(''), [
      { name: 'orders', partitions: 4 },
      { name: 'small', partitions: 1 },
    ]);
    assert.deepEqual(await backend.listTopics('sm'), [{ name: 'small', partitions: 1 }]);
    const { records } = await tail(0);
    assert.deepEqual(decode(records), [{ offset: 0, value: 'hello' }]);
    assert.equal((await backend.offsets('orders'))[0]?.endOffset, 1);
  });

  test('refuses a book that lacks a topic of which it has messages', async () => {
    await backend.createTopic({ name: 'orders' });
    await backend.createTopic({ name: 'empty' });
    put(1, 'hello');
    await rm(join(folder, 'topics.json'));
    await assert.rejects(open(), { code: 'STORE_CORRUPT', message: /found messages of 1\/0$/ });
  });

  test('refuses what it cannot make, with a code that says why', async () => {
    const refusals = [
      [{ name: '__x' }, 'INVALID_TOPIC'],
      [{ name: 'a', partitions: 0 }, 'INVALID_ARGUMENT'],
      [{ name: 'a', partitions: 1.5 }, 'INVALID_ARGUMENT'],
      [{ name: 'a', partitions: 5000 }, 'INVALID_ARGUMENT'],
      [{ name: 'a', replicationFactor: 3 }, 'INVALID_ARGUMENT'],
      [{ name: 'a', config: { 'cleanup.policy': 'shrink' } }, 'INVALID_ARGUMENT'],
      [{ name: 'a', config: { toString: 'x' } }, 'INVALID_ARGUMENT'],
      [{ name: 'a', config: { 'retention.ms': '1 day' } }, 'INVALID_ARGUMENT'],
      [{ name: 'a', config: { 'max.message.bytes': '-1' } }, 'INVALID_ARGUMENT'],
    ] as const;
    for (const [request, code] of refusals) {
      await assert.rejects(backend.createTopic(request), { code }, JSON.stringify(request));
    }
    assert.deepEqual(await backend.listTopics(''), []);
  });

  test('lets one of many that create a topic at once win, and opens it for all', async () => {
    const twice = await Promise.allSettled(
      [1, 2].map(() => backend.createTopic({ name: 'orders' })),
    );
    assert.deepEqual(twice.map((one) => one.status).toSorted(), ['fulfilled', 'rejected']);
    await assert.rejects(backend.createTopic({ name: 'orders' }), { code: 'TOPIC_EXISTS' });
    assert.equal((await openTopic(backend, 'orders', { autoCreate: true })).partitions, 4);
    await assert.rejects(openTopic(backend, 'new', { autoCreate: false }), {
      code: 'UNKNOWN_TOPIC',
    });
    const opened = await Promise.all(
      [1, 2, 3].map(() => openTopic(backend, 'new', { autoCreate: true })),
    );
    assert.deepEqual(
      opened.map((topic) => topic.name),
      ['new', 'new', 'new'],
    );
  });

  test('ends a waiting tail when its client has gone', async () => {
    await backend.createTopic({ name: 'orders' });
    await chunks.drop(1, 0);
    await open();
    const abort = new AbortController();
    const waiting = tail(30_000, abort.signal);
    await new Promise(setImmediate);
    assert.equal(log.stats().waiting, 1);
    abort.abort();
    assert.equal((await waiting).count, 0);
    assert.equal(log.stats().waiting, 0);
    assert.equal((await tail(30_000, AbortSignal.abort())).count, 0);
  });
});
