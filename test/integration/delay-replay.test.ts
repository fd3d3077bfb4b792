import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { inSteps } from '../../src/base/in-steps.ts';
import { connectDelay, delayNumbers } from '../support/connect.ts';
import { metric } from '../support/node-state.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { type Arrival, readAll } from '../support/read-all.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const count = countOf('MQP_DELAY_REPLAY', isLong ? 1_000_000 : 20_000);
/** Of them so many are cancelled, and as many moved, at the end of the log. */
const changed = Math.min(5_000, Math.floor(count / 20));
const dayMs = 86_400_000;
/** All come due within an hour, a day from now; what is moved two days later. */
const spanMs = 3_600_000;
const movedByMs = 2 * dayMs;
const batch = 1_000;
/** Calls under way at a time. */
const AT_ONCE = 200;
const patienceMs = 60_000 + count;

interface Delayed {
  readonly id: string;
  dueMs: number;
  isCancelled?: boolean;
  isMoved?: boolean;
}

async function schedule(client: MqpClient, topic: string, random: Seeded): Promise<Delayed[]> {
  const startMs = Date.now() + dayMs;
  const delays: Delayed[] = [];
  for (let from = 0; from < count; from += batch) {
    const dues = Array.from({ length: Math.min(batch, count - from) }, () =>
      Math.floor(startMs + random.below(spanMs)),
    );
    const messages = dues.map((dueAtMs, i) => ({ value: `${from + i}`, dueAtMs }));
    await new Promise<void>((resolve, reject) => {
      client.produceBatch(topic, messages, {}, (error, results) => {
        for (const [i, result] of results.entries()) {
          if (result instanceof Error) return reject(result);
          delays.push({ id: result.delayId ?? '', dueMs: dues[i] as number });
        }
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
  return delays;
}

/** So often each came; none early, none that was cancelled. */
function timesOf(delays: readonly Delayed[], arrivals: readonly Arrival[]): Uint8Array {
  const times = new Uint8Array(delays.length);
  for (const { value, timestampMs } of arrivals) {
    const { dueMs, isCancelled } = delays[Number(value)] as Delayed;
    assert(isCancelled !== true, `${value} was cancelled`);
    assert(timestampMs >= dueMs, `${value} came ${timestampMs}, due ${dueMs}`);
    times[Number(value)] = (times[Number(value)] as number) + 1;
  }
  return times;
}

test(`cancels and moves behind ${count} records of the log hold when the index is made anew`, {
  skip: skipWithoutPreload(),
}, async () => {
  console.log(`seed=${seed} count=${count} cancelled=${changed} moved=${changed}`);
  const random = new Seeded(seed);
  const clock = new WallClock(tempDir());
  const server = await startServer({ env: preloadEnv({ clock: clock.file }) });
  const topic = uniqueTopic('replay');
  const first = await connectDelay(server);
  await first.createTopic(topic, { partitions: 1 });
  const delays = await schedule(first, topic, random);
  const isThere = async () => (await delayNumbers(first)).pending === count;
  await until(isThere, { timeoutMs: patienceMs, everyMs: 100, what: 'all to be in the index' });
  const picked = random.shuffle(delays).slice(0, 2 * changed);
  await inSteps(picked.slice(0, changed), AT_ONCE, async (delay) => {
    assert.equal(await first.delayed.cancel({ id: delay.id }), 'cancelled');
    delay.isCancelled = true;
  });
  await inSteps(picked.slice(changed), AT_ONCE, async (delay) => {
    const dueMs = delay.dueMs + movedByMs;
    const { outcome } = await first.delayed.move({ id: delay.id, dueMs });
    assert.equal(outcome, 'moved');
    Object.assign(delay, { dueMs, isMoved: true });
  });
  await first.close();

  await server.kill('SIGKILL');
  rmSync(join(server.dataDir, 'delay'), { recursive: true });
  // All are overdue by the time that the log is read.
  clock.setOffset(dayMs + spanMs);
  await server.restart();
  const client = await connectDelay(server, { timeoutMs: patienceMs });
  assert((await metric(server, 'mqproxy_delay_replays_total')) > 0, 'all of the log is read');
  const untilLeft = async (left: number) => {
    const isOver = async () => (await delayNumbers(client)).pending === left;
    await until(isOver, { timeoutMs: patienceMs, everyMs: 200, what: `all but ${left} to fire` });
  };
  await untilLeft(changed);
  const early = timesOf(delays, await readAll(client, topic));
  for (const [i, { isCancelled, isMoved }] of delays.entries()) {
    assert.equal(early[i], isCancelled === true || isMoved === true ? 0 : 1, `${i}`);
  }
  clock.setOffset(dayMs + spanMs + movedByMs);
  await untilLeft(0);
  const all = timesOf(delays, await readAll(client, topic));
  for (const [i, { isCancelled }] of delays.entries()) {
    assert.equal(all[i], isCancelled === true ? 0 : 1, `${i}`);
  }
  assert.equal(await metric(server, 'mqproxy_delay_fired_early_total'), 0);
  await client.close();
});
