import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import { TOKEN_BYTES, Tokens } from '../../../../src/consume/lease/token.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { ConsumePartition } from '../../../../src/consume/partition/partition.ts';
import { RunBook } from '../../../../src/consume/partition/run-book.ts';
import { ScriptedPolicy } from '../engine-doubles.ts';

function partitionOf(partition: number): ConsumePartition {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers });
  const of = { window, policy: new ScriptedPolicy(), owner: Buffer.alloc(8), epoch: 1 };
  return new ConsumePartition({ cluster: 0, topic: 't', partition, ...of });
}

test('a token is found with its partition and its time until the partition is closed', () => {
  const tokens = new Tokens(Buffer.from('a secret of the cluster'));
  const book = new RunBook();
  const noted = [0, 1].map((partition) => {
    const one = partitionOf(partition);
    const token = Buffer.alloc(TOKEN_BYTES);
    const owner = { cluster: 0, ownerHigh: 0, ownerLow: 0, ownerEpoch: 1 };
    tokens.write(token, 0, { ...owner, partition, firstOffset: 7, leaseRun: partition + 1 });
    book.note(token, 0, one, 100 + partition);
    return { one, token };
  });
  const [first, second] = noted;
  assert(first !== undefined && second !== undefined);
  assert.equal(book.find(first.token, 0), first.one);
  assert.equal(book.atMs, 100);
  first.one.isClosed = true;
  for (let i = 0; i < 2; i++) {
    assert.equal(book.find(first.token, 0), undefined);
    assert.equal(book.find(second.token, 0), second.one);
    book.tidy();
  }
  assert.equal(book.timeOf(2), 101);
});
