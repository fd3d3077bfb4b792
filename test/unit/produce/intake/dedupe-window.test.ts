import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { DedupeWindow, type Known } from '../../../../src/produce/intake/dedupe-window.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const W = limits.windowSequences;

/** The window's rules over a plain set. */
class NaiveWindow {
  readonly taken = new Set<number>();
  highest = 0;
  lowest = 0;

  look(sequence: number): Known {
    if (sequence > this.highest) return 'new';
    if (sequence < this.lowest || sequence <= this.highest - W) return 'too-old';
    return this.taken.has(sequence) ? 'known' : 'gap';
  }

  accept(first: number, count: number): void {
    if (this.highest === 0) this.lowest = first;
    for (let s = first; s < first + count; s++) this.taken.add(s);
    this.highest = Math.max(this.highest, first + count - 1);
  }

  pass(first: number, count: number): void {
    if (this.highest === 0) this.lowest = first;
    this.highest = Math.max(this.highest, first + count - 1);
  }

  openBelow(first: number): void {
    if (this.highest > 0 || first <= 1) return;
    this.highest = first - 1;
    this.lowest = Math.max(1, first - W + 1);
  }
}

/** Steps from the highest: onward, over small gaps, over the whole window, and back into it. */
const jump = fc.oneof(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: W - 40, max: W + 40 }),
  fc.integer({ min: 2 * W - 5, max: 3 * W }),
  fc.integer({ min: -50, max: 0 }),
  fc.integer({ min: -W + 1, max: -W + 60 }),
);
const step = fc.record({
  kind: fc.constantFrom('accept', 'accept', 'accept', 'pass', 'encode'),
  jump,
  count: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constantFrom(W - 1, W, W + 1)),
});

function agree(window: DedupeWindow, naive: NaiveWindow, edges: readonly number[]): void {
  const { highest, lowest } = naive;
  assert.equal(window.highest, highest);
  for (const edge of [highest, highest - W, highest - W / 2, lowest, ...edges]) {
    for (const s of [edge - 1, edge, edge + 1]) {
      if (s > 0) assert.equal(window.look(s), naive.look(s), `${s}`);
    }
  }
}

test('the window judges as a plain set does, over gaps, its own length and checkpoints', async () => {
  await check(
    fc.property(
      fc.integer({ min: 1, max: 3 * W }),
      fc.boolean(),
      fc.array(step, { maxLength: 14 }),
      (start, isOpen, steps) => {
        let window = new DedupeWindow();
        const naive = new NaiveWindow();
        const edges = [start];
        if (isOpen) {
          window.openBelow(start);
          naive.openBelow(start);
        }
        window.accept(start, 1);
        naive.accept(start, 1);
        for (const { kind, jump: by, count } of steps) {
          const first = Math.max(1, naive.highest + by);
          if (kind === 'encode') window = DedupeWindow.decode(window.encode());
          else if (kind === 'pass') {
            // Only what is new is passed over.
            if (by < 1) continue;
            window.pass(first, count);
            naive.pass(first, count);
          } else {
            // A session takes only what it may judge: gaps, and new ones.
            const last = first + Math.min(count, by < 1 ? 8 : count) - 1;
            if (naive.look(first) === 'too-old') continue;
            window.accept(first, last - first + 1);
            naive.accept(first, last - first + 1);
          }
          edges.push(first, first + 8, first + count);
          agree(window, naive, edges);
        }
      },
    ),
    100,
  );
});

test('a window without gaps costs no bitmap, and one whose gaps are filled gives it back', () => {
  const window = new DedupeWindow();
  window.accept(1, 1_000_000);
  assert.equal(window.bitmapBytes, 0);
  window.accept(1_000_010, 1);
  assert.equal(window.bitmapBytes, W / 8);
  window.accept(1_000_001, 9);
  assert.equal(window.bitmapBytes, 0);
  assert.equal(window.encode().length, 16);
});

test('a jump over the whole window costs its words, not its sequences', (t) => {
  const words = Uint32Array;
  let touched = 0;
  const get = (target: Uint32Array, key: string): unknown => {
    touched++;
    const value: unknown = Reflect.get(target, key);
    return typeof value === 'function' ? value.bind(target) : value;
  };
  globalThis.Uint32Array = new Proxy(words, {
    construct: (target, [length]: [number]) => new Proxy(new target(length), { get }),
  });
  t.after(() => {
    globalThis.Uint32Array = words;
  });
  const window = new DedupeWindow();
  window.accept(1, 1);
  window.accept(10 * W, 1);
  assert.equal(window.look(10 * W - 1), 'gap');
  assert.ok(touched > 0 && touched <= W / 32 + 10, `${touched} words were looked at`);
});
