import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import {
  DiskFaults,
  isSync,
  type PreloadOptions,
  preloadEnv,
  readPreloadLog,
  skipWithoutPreload,
  WallClock,
} from './preload.ts';
import { tempDir } from './temp-dir.ts';

const skip = skipWithoutPreload();

const writer = `
  const fs = require('node:fs');
  const [, folder, other] = process.argv;
  const fd = fs.openSync(folder + '/a b', 'w');
  const elsewhere = fs.openSync(other + '/c', 'w');
  fs.writeSync(fd, Buffer.alloc(10), 0, 10, 4096);
  const before = process.hrtime.bigint();
  let failure = '';
  try { fs.fdatasyncSync(fd); fs.fsyncSync(fd); } catch (error) { failure = error.code; }
  const after = process.hrtime.bigint();
  fs.fsyncSync(elsewhere);
  console.log(JSON.stringify({ failure, before: String(before), after: String(after) }));
`;

function run(options: Omit<PreloadOptions, 'pathPrefix' | 'log'>) {
  const folder = tempDir();
  const log = join(tempDir(), 'calls.log');
  const child = spawnSync(process.execPath, ['-e', writer, folder, tempDir()], {
    encoding: 'utf8',
    env: { ...process.env, ...preloadEnv({ ...options, pathPrefix: folder, log }) },
  });
  assert.equal(child.status, 0, child.stderr);
  const { failure, before, after } = JSON.parse(child.stdout) as Record<string, string>;
  const calls = readPreloadLog(log);
  return { folder, calls, failure, before: BigInt(before ?? 0), after: BigInt(after ?? 0) };
}

test('writes and syncs of the chosen folder are recorded, in order and on a shared clock', {
  skip,
}, () => {
  const { folder, calls, before, after } = run({});
  assert.deepEqual(
    calls.map(({ call, offset, bytes, result }) => [call, offset, bytes, result]),
    [
      ['pwrite', 4096, 10, 10],
      ['fdatasync', -1, -1, 0],
      ['fsync', -1, -1, 0],
    ],
  );
  assert.ok(calls.every(({ path }) => path === join(folder, 'a b')));
  assert.ok(
    calls
      .filter(isSync)
      .every(({ startNs, endNs }) => before <= startNs && startNs <= endNs && endNs <= after),
  );
});

test('each sync takes the delay longer', { skip }, () => {
  const { before, after, calls } = run({ delayMs: 60 });
  assert.ok(after - before >= 120_000_000n);
  assert.ok(calls.filter(isSync).every(({ startNs, endNs }) => endNs - startNs >= 60_000_000n));
});

test('from a given number on, syncs fail with EIO', { skip }, () => {
  const { failure, calls } = run({ failAfterSyncs: 1 });
  assert.equal(failure, 'EIO');
  assert.deepEqual(
    calls.filter(isSync).map(({ result }) => result),
    [0, -1],
  );
});

/** A process that does what it is told, one line at a time: `write`, `sync`, `create`, `clock`. */
const obeys = `
  const fs = require('node:fs');
  const folder = process.argv[1];
  const fd = fs.openSync(folder + '/store.log', 'w');
  const other = fs.openSync(folder + '/other', 'w');
  let names = 0;
  const acts = {
    write: () => fs.writeSync(fd, 'x'),
    other: () => fs.writeSync(other, 'x'),
    sync: () => fs.fdatasyncSync(fd),
    create: () => fs.closeSync(fs.openSync(folder + '/new' + names++, 'w')),
    clock: () => Date.now(),
  };
  require('node:readline').createInterface(process.stdin).on('line', (line) => {
    try { console.log(acts[line]()); } catch (error) { console.log(error.code); }
  });
`;

function obedient(options: PreloadOptions) {
  const folder = tempDir();
  const env = { ...process.env, ...preloadEnv({ pathPrefix: folder, ...options }) };
  const child = spawn(process.execPath, ['-e', obeys, folder], { env });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const tell = async (act: string): Promise<string> => {
    child.stdin.write(`${act}\n`);
    return String((await lines.next()).value);
  };
  return { tell, folder, end: () => child.kill('SIGKILL') };
}

test('rules fail the n-th call of a kind and path, and change while it runs', {
  skip,
}, async () => {
  const faults = new DiskFaults(tempDir());
  const { tell, end } = obedient({ faults: faults.file });
  assert.equal(await tell('write'), '1');
  faults.set(
    { on: 'write', from: 2, to: 3, does: 'ENOSPC', path: '.log' },
    { on: 'sync', does: 'EIO' },
    { on: 'create', to: Infinity, does: 'ENOSPC' },
  );
  const acts = ['write', 'other', 'write', 'write', 'write', 'sync', 'sync', 'create', 'create'];
  const answers: string[] = [];
  for (const act of acts) answers.push(await tell(act));
  const wanted = ['1', '1', 'ENOSPC', 'ENOSPC', '1', 'EIO', 'undefined', 'ENOSPC', 'ENOSPC'];
  assert.deepEqual(answers, wanted);
  faults.clear();
  assert.equal(await tell('create'), 'undefined');
  faults.set({ on: 'sync', from: 2, does: 80 });
  await tell('sync');
  const began = performance.now();
  await tell('sync');
  assert(performance.now() - began >= 80);
  end();
});

test('the wall clock is stepped by a file, at once', { skip }, async () => {
  const clock = new WallClock(tempDir());
  const { tell, end } = obedient({ clock: clock.file });
  const off = async () => Number(await tell('clock')) - Date.now();
  assert(Math.abs(await off()) < 60_000);
  clock.setOffset(3_600_000);
  assert(Math.abs((await off()) - 3_600_000) < 60_000);
  clock.setOffset(-3_600_000);
  assert(Math.abs((await off()) + 3_600_000) < 60_000);
  clock.close();
  end();
});

test('with a grave all is recorded that a loss of power may take back', { skip }, () => {
  const folder = tempDir();
  const grave = tempDir();
  const log = join(tempDir(), 'calls');
  const script = `
    const fs = require('node:fs');
    const folder = process.argv[1];
    fs.writeFileSync(folder + '/a', 'old words');
    const fd = fs.openSync(folder + '/a', 'r+');
    fs.writeSync(fd, 'new', 0);
    fs.fsyncSync(fd);
    fs.writeFileSync(folder + '/b', 'b');
    fs.renameSync(folder + '/b', folder + '/a');
    fs.writeFileSync(folder + '/a', '');
    fs.unlinkSync(folder + '/a');
  `;
  const env = { ...process.env, ...preloadEnv({ pathPrefix: folder, grave, log }) };
  const child = spawnSync(process.execPath, ['-e', script, folder], { encoding: 'utf8', env });
  assert.equal(child.status, 0, child.stderr);
  const calls = readPreloadLog(log);
  const told = calls.map(({ call, offset, bytes, path }) => [
    call,
    offset,
    bytes,
    path.replaceAll(`${folder}/`, ''),
  ]);
  assert.deepEqual(told, [
    ['create', -1, -1, 'a'],
    ['write', 0, 9, 'a'],
    ['overwrite', 0, 3, 'a'],
    ['pwrite', 0, 3, 'a'],
    ['fsync', -1, 9, 'a'],
    ['create', -1, -1, 'b'],
    ['write', 0, 1, 'b'],
    ['rename', -1, -1, 'b\ta'],
    ['truncate', 0, 1, 'a'],
    ['unlink', -1, -1, 'a'],
  ]);
  const changes = ['overwrite', 'rename', 'truncate', 'unlink'];
  const buried = calls.filter(({ call }) => changes.includes(call));
  const kept = buried.map(({ fd }) => readFileSync(join(grave, String(fd)), 'utf8'));
  assert.deepEqual(kept, ['old', 'new words', 'b', '']);
});
