import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOptions, chosen } from './options.ts';
import type { Side } from './question.ts';
import { questions } from './questions.ts';
import { bareResult, type RunResult } from './result.ts';
import { figureResult, missedFigures, spreadOf, summaryOf } from './statistics.ts';

function runs(...rates: number[]): RunResult[] {
  return rates.map((requestsPerSecond) => ({ ...bareResult({}, 0), requestsPerSecond }));
}

function sideOf(name: string): Side {
  return { name, run: () => Promise.reject(new Error('not run here')) };
}

test('the median of an odd number is the middle one, of an even number the mean of two', () => {
  assert.deepEqual(spreadOf([5, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('a ratio is taken within each pair, not between the medians', () => {
  const sides = [
    { side: sideOf('a'), runs: runs(10, 100, 1000) },
    { side: sideOf('b'), runs: runs(100, 100, 100) },
  ];
  const figure = figureResult({ measure: 'rate', of: 'a', to: 'b', atLeast: 1 }, sides);
  assert.deepEqual([figure?.median, figure?.min, figure?.max], [1, 0.1, 10]);
  assert.equal(figure?.reached, true);
});

test('a figure that nothing is wanted of is neither reached nor missed', () => {
  const sides = [{ side: sideOf('a'), runs: runs(1) }];
  assert.equal(figureResult({ measure: 'rate', of: 'a' }, sides)?.reached, null);
  assert.equal(figureResult({ measure: 'rate', of: 'a', atMost: 0.5 }, sides)?.reached, false);
});

test('what was not reached is named; what nothing is wanted of, or did not run, is not', () => {
  const figures = [
    { measure: 'rate', of: 'a', atLeast: 2 },
    { measure: 'rate', of: 'a', atLeast: 1 },
    { measure: 'rate', of: 'a' },
    { measure: 'rate', of: 'b', atLeast: 2 },
  ];
  const side = sideOf('a');
  const question = { name: 'q', title: '', sides: [side], figures };
  const summary = summaryOf(question, [{ side, runs: runs(1) }]);
  assert.deepEqual(missedFigures([summary]), ['q: rate of a']);
});

test('a figure of a side that did not run is left out', () => {
  const sides = [{ side: sideOf('a'), runs: runs(1) }];
  assert.equal(figureResult({ measure: 'rate', of: 'a', to: 'b' }, sides), undefined);
});

test('every figure of every question names sides that the question has', () => {
  for (const { name, sides, figures } of questions) {
    const known = new Set(sides.map((side) => side.name));
    assert.equal(known.size, sides.length, `${name}: two sides of one name`);
    for (const { of, to } of figures) {
      for (const side of [of, to])
        assert.ok(side === undefined || known.has(side), `${name}: ${side}`);
    }
  }
});

test('--only takes a whole name before the beginning of names, and refuses what fits none', () => {
  const names = (only: string[]) =>
    chosen(questions, benchOptions(only.flatMap((name) => ['--only', name]))).map(
      ({ name }) => name,
    );
  assert.deepEqual(names(['throughput-100']), ['throughput-100']);
  assert.deepEqual(names(['embedded-1', 'growth']), ['embedded-100', 'embedded-1k', 'growth']);
  assert.throws(() => names(['nothing']), { code: 'USAGE' });
});
