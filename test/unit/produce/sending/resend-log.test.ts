import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ResendLog } from '../../../../src/produce/sending/resend-log.ts';
import type { BatchHeader } from '../../../../src/store/batch-header.ts';
import { tempDir } from '../../../support/temp-dir.ts';

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

test('a resend is one line with its cause and the ids of the batch', () => {
  const folder = tempDir();
  const log = new ResendLog(folder);
  log.write({ cause: 'start', lane: 3, timeMs: 5, header });
  const text = readFileSync(join(folder, 'resends.jsonl'), 'utf8');
  assert.deepEqual(JSON.parse(text), {
    timeMs: 5,
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
});

test('a log that is full is begun anew, and the one before is kept', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  const log = new ResendLog(folder);
  log.write({ cause: 'start', lane: 0, timeMs: 1, header });
  log.write({ cause: 'start', lane: 0, timeMs: 2, header });
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 2);
  assert.equal(statSync(`${path}.1`).size, 16 * 1024 * 1024 - 10);
});

test('lanes that share the log keep it within its size, each line whole', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  const lanes = [new ResendLog(folder), new ResendLog(folder)];
  for (const [lane, log] of lanes.entries()) log.write({ cause: 'start', lane, timeMs: 1, header });
  for (const [lane, log] of lanes.entries()) log.write({ cause: 'start', lane, timeMs: 2, header });
  assert.equal(statSync(`${path}.1`).size, 16 * 1024 * 1024 - 10, 'only the full one was put away');
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 4);
});

test('while one lane begins the log anew, another does not', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 - 10, 'x'));
  writeFileSync(`${path}.1`, 'kept');
  writeFileSync(`${path}.lock`, '');
  // Also one that opens, or opens its store again, while the first is at it.
  const log = new ResendLog(folder);
  log.write({ cause: 'start', lane: 1, timeMs: 1, header });
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'kept');
  assert(statSync(path).size > 16 * 1024 * 1024 - 10, 'the line is in the old one');
  // A lane that died over it holds it up for a minute, and not until the next start.
  const lockedMs = statSync(`${path}.lock`).mtimeMs;
  log.write({ cause: 'start', lane: 1, timeMs: lockedMs + 59_000, header });
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'kept');
  log.write({ cause: 'start', lane: 1, timeMs: lockedMs + 61_000, header });
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 1);
  assert.deepEqual(readdirSync(folder).sort(), ['resends.jsonl', 'resends.jsonl.1']);
});
