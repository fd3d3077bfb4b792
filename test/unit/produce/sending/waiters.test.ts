import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Waiters } from '../../../../src/produce/sending/waiters.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const stretch = {
  sequence: fc.integer({ min: 1, max: 400 }),
  count: fc.integer({ min: 1, max: 200 }),
};
const step = fc.oneof(
  fc.record({ ...stretch, kind: fc.constant('add' as const), session: fc.integer({ max: 3 }) }),
  fc.record({ ...stretch, kind: fc.constant('take' as const) }),
);

test('each message is taken once for each who waits for it, under its own correlation id', async () => {
  await check(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const waiters = new Waiters(() => true);
      let twin: { session: number; id: number; sequence: number }[] = [];
      let nextId = 2 ** 32 - 300;
      const taken = (found: ReturnType<Waiters['take']>): string[] =>
        found
          .flatMap(({ session, correlationId, sequence, count }) =>
            Array.from({ length: count }, (_, i) => {
              return `${session}/${(correlationId + i) >>> 0}/${sequence + i}`;
            }),
          )
          .sort();
      const words = ({ session, id, sequence }: (typeof twin)[number]): string =>
        `${session}/${id}/${sequence}`;
      for (const { sequence, count, ...what } of steps) {
        if (what.kind === 'add') {
          const { session } = what;
          waiters.add({ session, correlationId: nextId >>> 0, sequence, count });
          for (let i = 0; i < count; i++) {
            twin.push({ session, id: (nextId + i) >>> 0, sequence: sequence + i });
          }
          nextId += count;
        } else {
          const isTaken = (one: (typeof twin)[number]): boolean =>
            one.sequence >= sequence && one.sequence < sequence + count;
          const expected = twin.filter(isTaken).map(words).sort();
          twin = twin.filter((one) => !isTaken(one));
          assert.deepEqual(taken(waiters.take(sequence, count)), expected);
        }
      }
      assert.deepEqual(taken(waiters.takeAll()), twin.map(words).sort());
      assert.equal(waiters.size, 0);
    }),
    300,
  );
});

test('a client that comes again and again leaves no more than twice what it waits for', () => {
  let now = 0;
  const waiters = new Waiters((session) => session === now);
  const count = 64 * 1_000;
  for (now = 1; now <= 100; now++) {
    waiters.add({ session: now, correlationId: 0, sequence: 0, count });
    assert.ok(waiters.size <= 2_048, `${waiters.size} stretches after ${now} connections`);
  }
  now = 100;
  const told = waiters.take(0, count).filter(({ session }) => session === now);
  assert.equal(
    told.reduce((sum, one) => sum + one.count, 0),
    count,
  );
});
