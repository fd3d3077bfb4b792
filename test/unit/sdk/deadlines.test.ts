import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Deadlines } from '../../../sdk/ts/src/deadlines.ts';
import { Message, TopicHandle } from '../../../sdk/ts/src/message.ts';
import { fc } from '../../support/fast-check.ts';
import { FakeClock } from './fake-clock.ts';

const TICK_MS = 16;

function message(): Message {
  const topic = new TopicHandle('orders');
  const empty = { valueBytes: 0, key: null, keyBytes: 0, headers: null, partition: -1 };
  return new Message({ topic, value: null, ...empty, ack: 'stored', due: null });
}

it('no message ends before its deadline, nor more than a tick after it', () => {
  const steps = fc.array(
    fc.record({
      delayMs: fc.integer({ min: 1, max: 500 }),
      waitMs: fc.nat(60),
      isTakenBack: fc.boolean(),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (plan) => {
      const clock = new FakeClock();
      const open = new Map<Message, number>();
      const deadlines = new Deadlines(clock, (expired) => {
        const dueMs = open.get(expired);
        assert.ok(dueMs !== undefined, 'it was open');
        assert.ok(clock.monotonic() >= dueMs && clock.monotonic() <= dueMs + TICK_MS);
        open.delete(expired);
      });
      for (const { delayMs, waitMs, isTakenBack } of plan) {
        const added = message();
        deadlines.add(added, delayMs);
        open.set(added, clock.monotonic() + delayMs);
        const [first] = open.keys();
        if (isTakenBack && first !== undefined) {
          deadlines.remove(first);
          open.delete(first);
        }
        clock.advance(waitMs);
        for (const dueMs of open.values()) assert.ok(clock.monotonic() <= dueMs + TICK_MS);
      }
      clock.advance(1000);
      assert.equal(open.size, 0);
    }),
  );
});

it('a thousand messages share one timer', () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock, () => assert.fail('none expires'));
  for (let i = 0; i < 1000; i++) {
    const added = message();
    deadlines.add(added, 60_000);
    deadlines.remove(added);
    clock.advance(1);
  }
  assert.equal(clock.delaysMs.length, 1);
  deadlines.close();
  assert.equal(clock.delaysMs.length, 0);
});
