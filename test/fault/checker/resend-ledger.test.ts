import assert from 'node:assert/strict';
import { appendFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../support/temp-dir.ts';
import { ResendLedger } from './resend-ledger.ts';

const line = (first: number, count = 1) =>
  `${JSON.stringify({ timeMs: 1, cause: 'start', lane: 0, cluster: 0, first, last: first + count - 1, ids: [['01', 0, first, count]] })}\n`;

/** How often each of the first nine messages was noted. */
const timesOf = (ledger: ResendLedger) =>
  Array.from({ length: 9 }, (_, i) => ledger.timesResent(`01-0-${i + 1}`)[0]).join('');

test('notes are counted once, over a file that is read again, torn, cut, begun anew or gone', () => {
  const folder = tempDir();
  const path = join(folder, 'resends.jsonl');
  const ledger = new ResendLedger();
  writeFileSync(path, line(1, 2) + line(3).slice(0, -10));
  ledger.update(folder);
  ledger.update(folder);
  assert.equal(timesOf(ledger), '110000000', 'a line without its end does not count yet');
  // Power is lost: half of the first line is left, and the next one continues it.
  truncateSync(path, 10);
  ledger.skip(folder);
  appendFileSync(path, line(4));
  ledger.update(folder);
  assert.equal(timesOf(ledger), '110100000');
  // It is lost again, with the file's name; its inode number goes to the next file.
  rmSync(path);
  ledger.skip(folder);
  writeFileSync(path, line(5));
  ledger.update(folder);
  assert.equal(timesOf(ledger), '110110000');
  // Shorter than it was, and nobody has said why: another file.
  writeFileSync(path, line(6).replaceAll('"start"', '""'));
  ledger.update(folder);
  assert.equal(timesOf(ledger), '110111000');
  assert.equal(ledger.lines, 4);
  assert.deepEqual(ledger.contradictions, []);
});
