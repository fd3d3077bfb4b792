import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import {
  judgement,
  ProducerSession,
  type Stretch,
} from '../../../../src/produce/intake/producer-session.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const { accept, duplicate, outOfSequence, tooOld } = judgement;

function verdicts(
  stretches: readonly Stretch[],
): [first: number, count: number, verdict: number][] {
  return stretches.map(({ first, count, verdict }) => [first, count, verdict]);
}

test('an ordered session begins anywhere and goes on by one', () => {
  const session = new ProducerSession(1n, 0);
  assert.deepEqual(verdicts(session.judge(7, 3, true)), [[7, 3, accept]]);
  session.accept(7, 3, true);
  assert.equal(session.expected, 10);
  assert.deepEqual(verdicts(session.judge(10, 1, true)), [[10, 1, accept]]);
  assert.deepEqual(verdicts(session.judge(11, 1, true)), [[11, 1, outOfSequence]]);
});

test('after a retriable refusal everything later is out of sequence, until it comes again', () => {
  const session = new ProducerSession(1n, 0);
  session.judge(1, 1, true);
  // The first was refused with "retry later": nothing is taken, and the expected one stays.
  assert.deepEqual(verdicts(session.judge(2, 5, true)), [[2, 5, outOfSequence]]);
  assert.equal(session.expected, 1);
  assert.deepEqual(verdicts(session.judge(1, 6, true)), [[1, 6, accept]]);
});

test('a sequence that was refused for good is passed over, and cannot be judged later', () => {
  const session = new ProducerSession(1n, 0);
  session.judge(1, 1, true);
  session.accept(1, 1, true);
  session.pass(2, 2);
  assert.equal(session.expected, 4);
  session.accept(4, 1, true);
  assert.deepEqual(verdicts(session.judge(1, 5, true)), [
    [1, 1, duplicate],
    [2, 2, tooOld],
    [4, 1, duplicate],
    [5, 1, accept],
  ]);
});

test('what is behind the window is too old, in both modes', () => {
  for (const ordered of [true, false]) {
    const session = new ProducerSession(1n, 0);
    session.judge(1, 1, ordered);
    session.accept(1, limits.windowSequences + 1, ordered);
    assert.deepEqual(verdicts(session.judge(1, 2, ordered)), [
      [1, 1, tooOld],
      [2, 1, duplicate],
    ]);
  }
});

test('an unordered session takes each sequence in the window once, whatever its order', async () => {
  await check(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 5 }))),
      (runs) => {
        const session = new ProducerSession(1n, 0);
        const taken = new Set<number>();
        for (const [first, count] of runs) {
          let next = first;
          for (const stretch of session.judge(first, count, false)) {
            assert.equal(stretch.first, next, 'stretches follow each other');
            next += stretch.count;
            for (let s = stretch.first; s < next; s++) {
              assert.equal(stretch.verdict, taken.has(s) ? duplicate : accept, `${s}`);
            }
          }
          assert.equal(next, first + count);
          for (const { first: at, count: n, verdict } of [...session.judge(first, count, false)]) {
            if (verdict !== accept) continue;
            session.accept(at, n, false);
            for (let s = at; s < at + n; s++) taken.add(s);
          }
        }
      },
    ),
    500,
  );
});

test('an ordered client that keeps the rules gets every message in once and in order', async () => {
  const event = fc.constantFrom('take', 'take', 'refuse', 'retry', 'cut');
  await check(
    fc.property(
      fc.array(event, { maxLength: 80 }),
      fc.integer({ min: 1, max: 9 }),
      (events, by) => {
        const session = new ProducerSession(1n, 0);
        const taken: number[] = [];
        const passed = new Set<number>();
        let sent = 1;
        for (const what of events) {
          const [stretch] = session.judge(sent, 1, true);
          if (stretch?.verdict === duplicate || stretch?.verdict === tooOld) {
            assert.ok(taken.includes(sent) || passed.has(sent));
            sent++;
          } else if (stretch?.verdict === outOfSequence) sent = session.expected;
          else if (what === 'take') {
            session.accept(sent, 1, true);
            taken.push(sent++);
          } else if (what === 'refuse') {
            session.pass(sent, 1);
            passed.add(sent++);
          } else if (what === 'retry') {
            // The pipeline goes on a little before the client hears of it.
            if (session.window.highest > 0) {
              const [later] = session.judge(sent + by, 1, true);
              assert.equal(later?.verdict, outOfSequence);
            }
          } else sent = Math.max(1, sent - by);
        }
        assert.deepEqual(
          taken,
          [...taken].sort((a, b) => a - b),
        );
        assert.equal(new Set(taken).size, taken.length);
      },
    ),
    500,
  );
});
