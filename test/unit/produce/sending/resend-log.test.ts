import assert from 'node:assert/strict';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { LaneStats, stat } from '../../../../src/produce/intake/lane-stats.ts';
import { ResendLog } from '../../../../src/produce/sending/resend-log.ts';
import type { BatchHeader } from '../../../../src/store/batch-header.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { ManualClock } from '../../store/support.ts';

const header: BatchHeader = {
  crc: 0,
  previousCrc: 0,
  messages: 3,
  firstSequence: 40,
  acceptedMs: 0,
  payloadBytes: 0,
  payloadCrc: 0,
  segments: [
    { producerId: 255n, epoch: 2, flags: 0, count: 2, firstSequence: 9 },
    { producerId: 1n, epoch: 0, flags: 0, count: 1, firstSequence: 1 },
  ],
  topics: [],
  chunks: [],
};

/** The log of a data folder, and what it is told and tells. */
function openLog(dataDir: string, clock = new ManualClock()) {
  const stats = new LaneStats();
  const log = new ResendLog({ dataDir, clock, stats, log: silentLogger() });
  const write = (lane: number) => log.write({ cause: 'start', lane, header });
  return { log, write, clock, late: () => stats.get(stat.resendNotesLate) };
}

/** The lane of each line. */
function lanesIn(path: string): number[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { lane: number }).lane);
}

test('a resend is one line with its cause and the ids of the batch', () => {
  const folder = tempDir();
  const { write, clock, late } = openLog(folder);
  write(3);
  const text = readFileSync(join(folder, 'resends.jsonl'), 'utf8');
  assert.deepEqual(JSON.parse(text), {
    timeMs: clock.now(),
    cause: 'start',
    lane: 3,
    cluster: 0,
    first: 40,
    last: 42,
    ids: [
      ['00000000000000ff', 2, 9, 2],
      ['0000000000000001', 0, 1, 1],
    ],
  });
  assert.equal(late(), 0);
});

test('a log that is full is begun anew, and the one before is kept', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  const { write } = openLog(folder);
  write(0);
  write(0);
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 2);
  assert.equal(statSync(`${path}.1`).size, 16 * 1024 * 1024 - 10);
});

test('lanes that share the log keep it within its size, each line whole', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  const lanes = [openLog(folder), openLog(folder)];
  for (const [lane, { write }] of lanes.entries()) write(lane);
  for (const [lane, { write }] of lanes.entries()) write(lane);
  assert.equal(statSync(`${path}.1`).size, 16 * 1024 * 1024 - 10, 'only the full one was put away');
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 4);
});

test('while one lane begins the log anew, another does not', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  writeFileSync(`${path}.1`, 'kept');
  writeFileSync(`${path}.lock`, '');
  const clock = new ManualClock();
  utimesSync(`${path}.lock`, clock.now() / 1_000, clock.now() / 1_000);
  // Also one that opens while the first is at it.
  const { write } = openLog(folder, clock);
  write(1);
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'kept');
  assert(statSync(path).size > 16 * 1024 * 1024 - 10, 'the line is in the old one');
  // A lane that died over it holds it up for a minute, and not until the next start.
  clock.advance(59_000);
  write(1);
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'kept');
  clock.advance(2_000);
  write(1);
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 1);
  assert.deepEqual(readdirSync(folder).sort(), ['resends.jsonl', 'resends.jsonl.1']);
});

test('notes that the disk refuses wait, in order, and it is tried once a second', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  const { log, write, clock, late } = openLog(folder);
  mkdirSync(path);
  write(1);
  rmdirSync(path);
  write(2);
  assert.deepEqual(readdirSync(folder), [], 'the disk is left alone for a while');
  clock.advance(1_000);
  assert.deepEqual(lanesIn(path), [1, 2]);
  write(3);
  assert.deepEqual(lanesIn(path), [1, 2, 3]);
  assert.equal(late(), 2);
  log.close();
  clock.advance(10_000);
  assert.deepEqual(lanesIn(path), [1, 2, 3]);
});

test('what waits for the disk has a bound, and a close offers it a last time', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  const { log, write, clock, late } = openLog(folder);
  mkdirSync(path);
  write(1);
  clock.advance(5_000);
  const count = 2 * Math.ceil(limits.resendNotesBytesMax / 100);
  for (let n = 1; n < count; n++) write(2);
  assert.equal(late(), count);
  rmdirSync(path);
  log.close();
  const { size } = statSync(path);
  const isAll = size <= limits.resendNotesBytesMax && size > limits.resendNotesBytesMax - 1_000;
  assert(isAll, `${size} bytes`);
  assert.equal(lanesIn(path)[0], 1);
});
