import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../../src/consume/delivery.ts';
import { BlockTimers } from '../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../src/consume/lease/lease-window.ts';
import { Tokens } from '../../../src/consume/lease/token.ts';
import type { WindowState } from '../../../src/consume/lease/window-state.ts';
import { ConsumePartition } from '../../../src/consume/partition/partition.ts';
import { RunBook } from '../../../src/consume/partition/run-book.ts';
import { Subscription } from '../../../src/consume/partition/subscription.ts';
import { fetched } from '../../support/fetched.ts';
import { ScriptedPolicy } from './engine-doubles.ts';

test('memory that the socket still has is not written over, the rest is used again', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  window.take(fetched([0, 1, 2].map((offset) => ({ offset, value: `v${offset}` }))));
  const partition = new ConsumePartition({
    cluster: 0,
    topic: 't',
    partition: 0,
    window,
    policy: new ScriptedPolicy(),
    owner: Buffer.alloc(8),
    epoch: 1,
  });
  const written: Buffer[] = [];
  const taken = [true, false, true];
  const receiver = {
    id: 1,
    name: 'n',
    peer: 'p',
    isClogged: false,
    write: (bytes: Buffer) => written.push(bytes) > 0 && taken[written.length - 1] === true,
  };
  const to = new Subscription({
    id: 1,
    slot: 1,
    receiver,
    group: 'g',
    topics: ['t'],
    prefix: '',
    creditMessages: 9,
    creditBytes: 1e6,
    leaseMs: 9,
  });
  const delivery = new Delivery(new Tokens(Buffer.alloc(32)), new RunBook(), 1e6);
  const size = { messagesMax: 1, bytesMax: 1e6, firstBytesMax: 1e6 };
  for (let run = 1; run <= 3; run++) {
    assert.equal(window.pick({ ...size, run, sub: 1, dueMs: 9, staleBeforeMs: 0 }), 1);
    delivery.add(to, partition, 1, { run, nowMs: 0 });
    delivery.send(to);
  }
  const [first, second, third] = written as [Buffer, Buffer, Buffer];
  assert.equal(second.byteOffset, first.byteOffset, 'the first was taken whole');
  assert.equal(third.byteOffset, second.byteOffset + second.length, 'the second was not');
  assert(second.includes('v1') && third.includes('v2'));
});
