import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DeadFilter,
  type DeadLetter,
  LIST_DEAD,
} from '../../../../protocol/src/dead-letters.ts';
import { FrameWriter } from '../../../../protocol/src/frame-writer.ts';
import { readTailHeaders } from '../../../../protocol/src/message-headers.ts';
import { formatMessageId } from '../../../../protocol/src/message-id.ts';
import { decodeMqHeader } from '../../../../protocol/src/mq-header.ts';
import type { Clock } from '../../../../src/base/clock.ts';
import { limits } from '../../../../src/base/limits.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { DeadLetterDesk } from '../../../../src/consume/dead-letters/dead-letter-desk.ts';
import { marksTopic } from '../../../../src/consume/dead-letters/letter-marks.ts';
import type { Failure } from '../../../../src/consume/lease/settle.ts';
import { deadRecordOf } from '../../../../src/consume/retry/dead-record.ts';
import { fc } from '../../../support/fast-check.ts';
import { seed } from '../../../support/seeded.ts';
import { until } from '../../../support/wait.ts';
import { failureOf, wireRecord } from '../dead-doubles.ts';
import { MemoryCluster } from '../memory-cluster.ts';

const of = { topic: 'orders', group: 'billing' };
const dlq = 'orders.billing.dlq';

class Setting {
  readonly cluster = new MemoryCluster();
  nowMs = 0;
  frameBytesMax = limits.frameBytesMax;
  /** Every sleep, and time goes on by it. */
  readonly sleeps: number[] = [];
  desk = this.open();

  open(): DeadLetterDesk {
    const clock: Clock = {
      now: () => 1_000,
      monotonic: () => this.nowMs,
      setTimer: (fn, delayMs) => {
        this.sleeps.push(delayMs);
        this.nowMs += delayMs;
        setImmediate(fn);
        return { cancel: () => {} };
      },
    };
    const log = createLogger('silent');
    const { frameBytesMax } = this;
    return new DeadLetterDesk({ clusters: [this.cluster], nodeId: 1n, frameBytesMax, clock, log });
  }

  die(part: Partial<Failure> & { key?: Buffer; timestampMs?: number } = {}, partitions = 1): void {
    if (!this.cluster.partitions.has(dlq)) this.cluster.create(dlq, partitions);
    const { key, timestampMs = 500, ...given } = part;
    const failure = failureOf(given);
    const value = Buffer.from(`v${failure.offset}`);
    const record = wireRecord({ offset: failure.offset, timestampMs, value, key });
    this.cluster.append(deadRecordOf(failure, record, { dlq, partitions, nodeId: 1n }));
  }

  /** Offsets of the letters' origins, over all pages. */
  async listed(filter?: DeadFilter, limit?: number): Promise<number[]> {
    const found: number[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await this.desk.list({ ...of, filter, limit, cursor });
      found.push(...page.messages.map(({ origin }) => origin.offset));
      cursor = page.cursor;
      if (cursor === undefined) return found;
    }
  }

  /** Ids of what was put back, which has no header but `mq`. */
  idsPutBack(): string[] {
    return this.cluster.records('orders').map(({ headers }) => {
      const [mq, ...more] = readTailHeaders(Buffer.from(headers));
      assert.deepEqual(more, []);
      return formatMessageId(decodeMqHeader(mq?.value as Buffer));
    });
  }

  async redriven(filter?: DeadFilter, ratePerSecond?: number): Promise<string> {
    const { job } = await this.desk.redrive({ ...of, filter, ratePerSecond });
    assert.ok(job);
    await until(async () => (await this.desk.redrive({ job })).state !== 'running');
    return (await this.desk.redrive({ job })).state;
  }
}

test('where nothing has died the list is empty, and a redrive has nothing to do', async () => {
  const setting = new Setting();
  assert.deepEqual(await setting.listed(), []);
  assert.equal(await setting.redriven(), 'done');
  assert.deepEqual(await setting.desk.purge(of), { matched: 0, purged: 0 });
});

test('letters are listed page by page, each id once', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 40; offset++) {
    setting.die({ offset });
    if (offset % 3 === 0) setting.die({ offset: Math.floor(offset / 2) });
  }
  const all = Array.from({ length: 40 }, (_, offset) => offset);
  assert.deepEqual(
    (await setting.listed(undefined, 9)).sort((a, b) => a - b),
    all,
  );
  assert.deepEqual((await setting.listed(undefined, 1000)).length, 40);
});

test('letters of a topic that was made anew are not taken for those of before', async () => {
  const setting = new Setting();
  setting.die({ offset: 3 });
  assert.equal(await setting.redriven(), 'done');
  assert.deepEqual(await setting.listed(), []);
  setting.die({ offset: 3, timestampMs: 600 });
  assert.deepEqual(await setting.listed(), [3]);
  assert.equal(await setting.redriven(), 'done');
  assert.equal(new Set(setting.idsPutBack()).size, 2, 'a group would drop the second as a copy');
});

test('a listing that was forgotten goes on behind what was given', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 30; offset++) setting.die({ offset, partition: offset % 3 }, 3);
  const first = await setting.desk.list({ ...of, limit: 8 });
  for (let i = 0; i < limits.deadListsMax; i++) await setting.desk.list({ ...of, limit: 1 });
  const seen = first.messages.map(({ origin }) => origin.offset);
  for (let { cursor } = first; cursor !== undefined; ) {
    const page = await setting.desk.list({ ...of, limit: 8, cursor });
    seen.push(...page.messages.map(({ origin }) => origin.offset));
    ({ cursor } = page);
  }
  assert.equal(seen.length, 30);
  assert.equal(new Set(seen).size, 30);
});

test('values are shown when they are asked for', async () => {
  const setting = new Setting();
  setting.die({ offset: 3, key: Buffer.from('k') });
  const [short] = (await setting.desk.list(of)).messages;
  assert.deepEqual([short?.valueBytes, short?.value, short?.key], [2, undefined, undefined]);
  const [whole] = (await setting.desk.list({ ...of, values: true })).messages;
  assert.equal(String(whole?.value), 'v3');
  assert.equal(String(whole?.key), 'k');
});

test('a page of large values is cut, and a single larger one comes alone', async () => {
  const setting = new Setting();
  setting.cluster.create(dlq);
  for (const offset of [1, 2, 3]) {
    const record = wireRecord({ offset, value: Buffer.alloc(400_000 * offset) });
    const options = { dlq, partitions: 1, nodeId: 1n };
    setting.cluster.append(deadRecordOf(failureOf({ offset }), record, options));
  }
  const sizes: number[] = [];
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = await setting.desk.list({ ...of, cursor, values: true });
    sizes.push(page.messages.length);
    ({ cursor } = page);
  }
  assert.deepEqual(sizes, [1, 1, 1]);
});

test('a page fits a frame: long reasons are cut into pages, and too long a letter has no value', async () => {
  const setting = new Setting();
  setting.frameBytesMax = 16 * 1024;
  setting.desk = setting.open();
  const reason = 'r'.repeat(1_024);
  for (let offset = 0; offset < 30; offset++) setting.die({ offset, reason });
  const value = Buffer.alloc(16 * 1024);
  const made = { dlq, partitions: 1, nodeId: 1n };
  const long = wireRecord({ offset: 30, value });
  setting.cluster.append(deadRecordOf(failureOf({ offset: 30 }), long, made));
  const found: DeadLetter[] = [];
  const writer = new FrameWriter();
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = await setting.desk.list({ ...of, limit: 1_000, cursor, values: true });
    LIST_DEAD.encodeAnswer(writer, 1, page);
    assert(writer.detach().readUInt32BE(0) <= setting.frameBytesMax);
    found.push(...page.messages);
    ({ cursor } = page);
  }
  assert.deepEqual(
    found.map(({ origin }) => origin.offset),
    Array.from({ length: 31 }, (_, offset) => offset),
  );
  assert.equal(String(found[29]?.value), 'v29');
  assert.deepEqual([found[30]?.value, found[30]?.valueBytes], [undefined, value.length]);
});

test('other groups, other topics and foreign records are passed over', async () => {
  const setting = new Setting();
  setting.die({ offset: 1, group: 'b' });
  setting.die({ offset: 2, topic: 'orders.billing' });
  setting.cluster.append({ topic: dlq, key: null, value: null, headers: Buffer.alloc(0) });
  setting.die({ offset: 3 });
  assert.deepEqual(await setting.listed(), [3]);
  assert.deepEqual(await setting.desk.purge(of), { matched: 1, purged: 1 });
  assert.deepEqual(setting.cluster.deleted, [[dlq, 0, 0]]);
});

test('a filter means what all its fields say', async () => {
  const setting = new Setting();
  setting.die({ offset: 1, reason: 'no customer 7', nowMs: 100, key: Buffer.from('a') });
  setting.die({ offset: 2, reason: 'no customer 8', nowMs: 200, key: Buffer.from('b') });
  setting.die({ offset: 3, reason: 'timeout', nowMs: 300, partition: 4 });
  const [first] = (await setting.desk.list(of)).messages;
  const filters: [DeadFilter, number[]][] = [
    [{ reason: 'customer' }, [1, 2]],
    [{ fingerprint: first?.fingerprint ?? '' }, [1, 2]],
    [{ fromMs: 200 }, [2, 3]],
    [{ toMs: 200 }, [1]],
    [{ partition: 4 }, [3]],
    [{ key: Buffer.from('b') }, [2]],
    [{ id: first?.id ?? '' }, [1]],
    [{ reason: 'customer', fromMs: 150 }, [2]],
    [{ reason: 'other' }, []],
  ];
  for (const [filter, offsets] of filters) assert.deepEqual(await setting.listed(filter), offsets);
});

test('a redrive puts each letter back once, with an id that no consumer knows', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 25; offset++) {
    setting.die({ offset });
    if (offset % 5 === 0) setting.die({ offset });
  }
  assert.equal(await setting.redriven(), 'done');
  const values = setting.cluster.values('orders');
  assert.equal(new Set(values).size, 25);
  assert.equal(values.length, 25);
  assert.deepEqual(await setting.listed(), []);
  assert.equal(new Set(setting.idsPutBack()).size, 25);
  // Again, also by another node: nothing is left to do.
  setting.desk = setting.open();
  assert.equal(await setting.redriven(), 'done');
  assert.equal(setting.cluster.values('orders').length, 25);
});

test('of a job nobody hears who may not see its letters', async () => {
  const setting = new Setting();
  setting.die({ offset: 1 });
  const { job = '' } = await setting.desk.redrive(of);
  const asked: unknown[] = [];
  const maySee = (letters: unknown): boolean => asked.push(letters) > 1;
  await assert.rejects(setting.desk.redrive({ job }, maySee), { code: 'NOT_FOUND' });
  assert.equal((await setting.desk.redrive({ job }, maySee)).job, job);
  assert.deepEqual(asked, [of, of]);
  await setting.desk.close();
});

test('a dry run counts, and changes nothing', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 9; offset++) setting.die({ offset, reason: `r${offset % 2}` });
  const filter = { reason: 'r1' };
  const counted = await setting.desk.redrive({ ...of, filter, dryRun: true });
  assert.deepEqual(counted, { state: 'done', scanned: 9, matched: 4, moved: 0 });
  assert.deepEqual(await setting.desk.purge({ ...of, filter, dryRun: true }), {
    matched: 4,
    purged: 0,
  });
  assert.equal((await setting.listed()).length, 9);
  assert.ok(!setting.cluster.partitions.has(marksTopic));
});

test('a rate is kept', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 100; offset++) setting.die({ offset });
  assert.equal(await setting.redriven(undefined, 20), 'done');
  assert.equal(setting.cluster.values('orders').length, 100);
  assert.ok(setting.nowMs >= 4_900 && setting.nowMs <= 5_100, `${setting.nowMs}`);
});

test('a limit ends a redrive early, and the next goes on', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 20; offset++) setting.die({ offset });
  const { job = '' } = await setting.desk.redrive({ ...of, limit: 8 });
  await until(async () => (await setting.desk.redrive({ job })).state === 'done');
  assert.equal(setting.cluster.values('orders').length, 8);
  assert.equal(await setting.redriven(), 'done');
  assert.equal(new Set(setting.cluster.values('orders')).size, 20);
  assert.equal(setting.cluster.values('orders').length, 20);
});

test('what is refused for good fails the job, and what passed is not put back again', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 10; offset++) setting.die({ offset });
  setting.cluster.refuse = ({ topic, value }) =>
    topic === 'orders' && String(value) === 'v4'
      ? { code: 'MESSAGE_TOO_LARGE', message: 'too large', retriable: false }
      : undefined;
  const { job = '' } = await setting.desk.redrive(of);
  await until(async () => (await setting.desk.redrive({ job })).state === 'failed');
  assert.match((await setting.desk.redrive({ job })).error ?? '', /orders: too large/);
  assert.ok((await setting.listed()).includes(4));
  setting.cluster.refuse = () => undefined;
  assert.equal(await setting.redriven(), 'done');
  const values = setting.cluster.values('orders');
  assert.equal(values.length, new Set(values).size);
  assert.equal(values.length, 10);
});

test('what may pass later is tried again', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 10; offset++) setting.die({ offset });
  let refusals = 25;
  setting.cluster.refuse = ({ topic }) => {
    if (topic !== 'orders' || refusals === 0) return undefined;
    refusals -= 1;
    return { code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true };
  };
  assert.equal(await setting.redriven(), 'done');
  assert.equal(setting.cluster.values('orders').length, 10);
});

test('two redrives of the same letters at once are refused, and an unknown job is', async () => {
  const setting = new Setting();
  setting.die();
  const [one, two] = await Promise.allSettled([setting.desk.redrive(of), setting.desk.redrive(of)]);
  assert.equal(one.status, 'fulfilled');
  assert.equal(two.status === 'rejected' && two.reason.code, 'GROUP_CONFLICT');
  await assert.rejects(setting.desk.redrive({ job: 'r-99' }), { code: 'NOT_FOUND' });
});

test('a job ends when the node does, and the next node puts back the rest', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 30; offset++) setting.die({ offset });
  const { job = '' } = await setting.desk.redrive({ ...of, ratePerSecond: 10 });
  await setting.desk.close();
  assert.equal((await setting.desk.redrive({ job })).state, 'failed');
  setting.desk = setting.open();
  assert.equal(await setting.redriven(), 'done');
  const values = setting.cluster.values('orders');
  assert.equal(values.length, 30);
  assert.equal(new Set(values).size, 30);
});

test('a purge with a filter frees up to the first letter that is left', async () => {
  const setting = new Setting();
  for (let offset = 0; offset < 12; offset++) {
    setting.die({ offset, reason: offset < 5 || offset > 8 ? 'old' : 'new' });
  }
  assert.deepEqual(await setting.desk.purge({ ...of, filter: { reason: 'old' } }), {
    matched: 8,
    purged: 8,
  });
  assert.deepEqual(setting.cluster.deleted, [[dlq, 0, 5]]);
  assert.deepEqual(await setting.listed(), [5, 6, 7, 8]);
  assert.deepEqual(await setting.desk.purge(of), { matched: 4, purged: 4 });
  assert.deepEqual(setting.cluster.deleted.at(-1), [dlq, 0, 12]);
});

test('any letters, copies, refusals and stops: each letter is put back exactly once', async () => {
  const letters = fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 40 });
  const runs = fc.array(
    fc.record({
      limit: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
      refuse: fc.integer({ min: 0, max: 15 }),
    }),
    { maxLength: 4 },
  );
  const property = fc.asyncProperty(letters, runs, async (offsets, steps) => {
    const setting = new Setting();
    for (const offset of offsets) setting.die({ offset, partition: offset % 2 }, 2);
    for (const { limit, refuse } of steps) {
      setting.cluster.refuse = ({ topic, value }) =>
        topic === 'orders' && String(value) === `v${refuse}`
          ? { code: 'MESSAGE_TOO_LARGE', message: 'too large', retriable: false }
          : undefined;
      setting.desk = setting.open();
      const { job = '' } = await setting.desk.redrive({ ...of, limit });
      await until(async () => (await setting.desk.redrive({ job })).state !== 'running');
    }
    setting.cluster.refuse = () => undefined;
    assert.equal(await setting.redriven(), 'done');
    const values = setting.cluster.values('orders').sort();
    const wanted = [...new Set(offsets)].map((offset) => `v${offset}`).sort();
    assert.deepEqual(values, wanted);
    assert.deepEqual(await setting.listed(), []);
  });
  await fc.assert(property, { numRuns: 60, seed });
});
