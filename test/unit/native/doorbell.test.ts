import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { Doorbell, ringDoorbell } from '../../../src/native/addon.ts';

const addonUrl = new URL('../../../src/native/addon.js', import.meta.url).href;

/** A worker that runs `body` with the addon's exports as `native` and its messages as `next()`. */
function workerWith(body: string, workerData: unknown = undefined): Worker {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(${JSON.stringify(addonUrl)}).then(async (native) => { ${body} });
  `;
  return new Worker(code, { eval: true, workerData });
}

/** A bell and a promise for its next callback. */
function bellWithPromise(): { bell: Doorbell; rung: () => Promise<void>; count: () => number } {
  let count = 0;
  let resolve: (() => void) | undefined;
  const bell = new Doorbell(() => {
    count += 1;
    resolve?.();
  });
  bell.ref();
  const rung = (): Promise<void> =>
    new Promise((done) => {
      resolve = done;
    });
  return { bell, rung, count: () => count };
}

test('rings before the callback ran are one callback', async () => {
  const { bell, rung, count } = bellWithPromise();
  const next = rung();
  for (let i = 0; i < 1000; i += 1) ringDoorbell(bell.id);
  assert.equal(count(), 0);
  await next;
  await new Promise((done) => setImmediate(done));
  assert.equal(count(), 1);
  bell.close();
});

test('a ring during the callback brings another callback', async () => {
  let count = 0;
  await new Promise<void>((done) => {
    const bell = new Doorbell(() => {
      count += 1;
      if (count < 3) ringDoorbell(bell.id);
      else {
        bell.close();
        done();
      }
    });
    bell.ref();
    ringDoorbell(bell.id);
  });
  assert.equal(count, 3);
});

test('a worker rings the bell of the main thread', async () => {
  const { bell, rung } = bellWithPromise();
  const next = rung();
  const worker = workerWith('native.ringDoorbell(workerData);', bell.id);
  await Promise.all([next, once(worker, 'exit')]);
  bell.close();
});

test('the main thread rings the bells of several workers, each its own', async () => {
  const body = `
    const bell = new native.Doorbell(() => { parentPort.postMessage('rung'); bell.close(); });
    bell.ref();
    parentPort.postMessage(bell.id);
  `;
  const workers = [workerWith(body), workerWith(body), workerWith(body)];
  const ids = await Promise.all(workers.map(async (w) => (await once(w, 'message'))[0] as number));
  assert.equal(new Set(ids).size, 3);
  const rung = workers.map(async (w) => (await once(w, 'message'))[0] as string);
  const ended = workers.map((w) => once(w, 'exit'));
  for (const id of ids) ringDoorbell(id);
  assert.deepEqual(await Promise.all(rung), ['rung', 'rung', 'rung']);
  await Promise.all(ended);
});

test('a bell whose worker ended is silent and does no harm', async () => {
  const body = `
    const bell = new native.Doorbell(() => {});
    parentPort.postMessage(bell.id);
    setInterval(() => {}, 1000);
  `;
  for (let round = 0; round < 5; round += 1) {
    const worker = workerWith(body);
    const [id] = (await once(worker, 'message')) as [number];
    const ended = worker.terminate();
    for (let i = 0; i < 10_000; i += 1) ringDoorbell(id);
    await ended;
    ringDoorbell(id);
  }
});

test('a closed bell and an unknown id are silent', async () => {
  const { bell, count } = bellWithPromise();
  ringDoorbell(bell.id);
  bell.close();
  bell.close();
  bell.ref();
  ringDoorbell(bell.id);
  ringDoorbell(4_000_000_000);
  await new Promise((done) => setImmediate(done));
  await new Promise((done) => setImmediate(done));
  assert.equal(count(), 0);
});

test('an error thrown in the callback is an uncaught exception of its thread', async () => {
  const worker = workerWith(`
    const bell = new native.Doorbell(() => { throw new TypeError('from the bell'); });
    bell.ref();
    native.ringDoorbell(bell.id);
  `);
  const [error] = (await once(worker, 'error')) as [TypeError];
  assert.equal(error.message, 'from the bell');
});

test('a bell alone does not keep its thread alive', async () => {
  const worker = workerWith('new native.Doorbell(() => {});');
  assert.deepEqual(await once(worker, 'exit'), [0]);
});
