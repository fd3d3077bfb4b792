import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValueOp, KeyValueStore } from '../../../src/store/key-value-store.ts';
import { WriteQueue } from '../../../src/store/write-queue.ts';

/** A store whose writes end when they are told. */
class SlowStore {
  readonly driver = 'rocksdb';
  readonly begun: string[] = [];
  readonly ends: { ok: () => void; fail: (error: Error) => void }[] = [];

  write(ops: readonly KeyValueOp[]): Promise<void> {
    this.begun.push(ops.map(({ key, value }) => `${key}=${value ?? ''}`).join());
    return new Promise((ok, fail) => this.ends.push({ ok, fail }));
  }
}

function queue(): { slow: SlowStore; queue: WriteQueue } {
  const slow = new SlowStore();
  return { slow, queue: new WriteQueue(slow as unknown as KeyValueStore) };
}

const op = (text: string): KeyValueOp[] => [{ key: Buffer.from(text), value: Buffer.from(text) }];
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a write waits for the one before, with the bytes that it was given', async () => {
  const { slow, queue: kv } = queue();
  const first = kv.write(op('a'), { sync: true });
  const lent = op('b');
  const second = kv.write(lent, { sync: false });
  lent[0]?.value?.fill('x');
  await settled();
  assert.deepEqual(slow.begun, ['a=a']);
  slow.ends[0]?.ok();
  await first;
  await settled();
  assert.deepEqual(slow.begun, ['a=a', 'b=b']);
  slow.ends[1]?.ok();
  await second;
  // Nobody is waited for: the call is made at once.
  void kv.write(op('c'), { sync: true });
  assert.equal(slow.begun.at(-1), 'c=c');
});

test('after a failed write nothing is written any more', async () => {
  const { slow, queue: kv } = queue();
  const first = kv.write(op('a'), { sync: true });
  const second = kv.write(op('b'), { sync: true });
  slow.ends[0]?.fail(new Error('no disk'));
  await assert.rejects(first, /no disk/);
  await assert.rejects(second, /no disk/);
  await assert.rejects(kv.write(op('c'), { sync: true }), /no disk/);
  assert.deepEqual(slow.begun, ['a=a']);
});
