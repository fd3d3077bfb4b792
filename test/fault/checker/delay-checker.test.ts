import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayChecker, delayedValue, type FiredRecord } from './delay-checker.ts';
import type { Guilt } from './verdicts.ts';

const sentMs = 1_000_000;
const dueMs = sentMs + 5_000;

/** Message 0 as it was found. */
function record(offset: number, other: Partial<FiredRecord> = {}): FiredRecord {
  return { id: 'a-0-1', value: delayedValue(0), offset, timestampMs: dueMs, ...other };
}

type Story = (checker: DelayChecker) => void;

/** Message 0 was answered; then what a story tells. */
function judge(story: Story): ReadonlyMap<Guilt, number> {
  const checker = new DelayChecker();
  checker.ok(checker.invoke(sentMs, dueMs), 'a-0-1');
  story(checker);
  return checker.verdicts({ fired: 0 }).counts;
}

/** Each story that is bad in one way, beside its twin that differs as little as it can. */
const pairs: readonly (readonly [title: string, guilt: Guilt, bad: Story, good: Story])[] = [
  ['a message that never fires', 'lost', () => {}, (c) => c.found(record(0))],
  ['one that is missing after a cancel', 'lost', () => {}, (c) => c.cancelFailed(0)],
  [
    'a message that fires before its time',
    'early',
    (c) => c.found(record(0, { timestampMs: dueMs - 1 })),
    (c) => c.found(record(0)),
  ],
  [
    'one that fires behind the answer to its cancel',
    'after-cancel',
    (c) => {
      c.cancelled(0, 7);
      c.found(record(7));
    },
    (c) => c.cancelled(0, 7),
  ],
  [
    'one that fires twice',
    'unexplained-duplicate',
    (c) => {
      c.found(record(0));
      c.found(record(1));
    },
    (c) => {
      c.disturbed(dueMs + 10);
      c.found(record(0));
      c.found(record(1));
    },
  ],
  [
    'one that fires twice though all faults were long before',
    'unexplained-duplicate',
    (c) => {
      c.disturbed(dueMs - 60_000);
      c.found(record(0));
      c.found(record(1));
    },
    (c) => {
      c.disturbed(dueMs - 1_000);
      c.found(record(0));
      c.found(record(1));
    },
  ],
  [
    'one that fires under another id',
    'invented',
    (c) => {
      c.found(record(0));
      c.found(record(1, { id: 'a-0-2' }));
    },
    (c) => c.found(record(0)),
  ],
  [
    'one that was refused',
    'failed-delivered',
    (c) => {
      c.found(record(0));
      const n = c.invoke(sentMs, dueMs);
      c.refused(n);
      c.found(record(1, { id: 'a-0-2', value: delayedValue(n) }));
    },
    (c) => {
      c.found(record(0));
      c.found(record(1, { id: 'a-0-2', value: delayedValue(c.invoke(sentMs, dueMs)) }));
    },
  ],
];

for (const [title, guilt, bad, good] of pairs) {
  test(`the delay checker finds ${title}, and nothing in its twin`, () => {
    assert.deepEqual([...judge(bad).keys()], [guilt]);
    assert.deepEqual([...judge(good)], []);
  });
}

test('a clock that was ahead makes a message due sooner, so that earlier faults count', () => {
  const twice: Story = (c) => {
    c.disturbed(sentMs + 1_000);
    c.found(record(0));
    c.found(record(1));
  };
  const far: Story = (c) => {
    const n = c.invoke(sentMs, sentMs + 3_000_000);
    c.ok(n, 'a-0-2');
    c.disturbed(sentMs + 1_000);
    const timestampMs = sentMs + 3_000_000;
    for (const offset of [0, 1]) {
      c.found({ id: 'a-0-2', value: delayedValue(n), offset, timestampMs });
    }
    c.found(record(2));
  };
  assert.deepEqual([...judge(twice)], []);
  assert.deepEqual([...judge(far).keys()], ['unexplained-duplicate']);
  const stepped: Story = (c) => {
    c.clockStepped(3_600_000);
    far(c);
  };
  assert.deepEqual([...judge(stepped)], []);
});

test('a run of delays that shows too little says so', () => {
  const checker = new DelayChecker();
  checker.ok(checker.invoke(sentMs, dueMs), 'a-0-1');
  checker.found(record(0));
  const { counts } = checker.verdicts({ fired: 2, cancelled: 1 });
  assert.deepEqual([...counts], [['too-little', 2]]);
});
