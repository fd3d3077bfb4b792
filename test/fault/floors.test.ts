import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DrivenTotals, missingFrom } from './floors.ts';

const enough: DrivenTotals = {
  answered: 10_000,
  resends: 5,
  switches: 2,
  faults: { kill: 10, 'primary-away': 1 },
};

test('a driven run that did too little of anything says so', () => {
  const cases: readonly [changes: Partial<DrivenTotals>, clusters: number, words: RegExp][] = [
    [{ switches: 0 }, 2, /^the cluster was never changed/],
    [{ resends: 0 }, 1, /^nothing was sent again$/],
    [{ answered: 549 }, 1, /^answered: 549, 550 are expected$/],
    [{ faults: {} }, 0, /^no fault happened$/],
  ];
  for (const [changes, clusters, words] of cases) {
    assert.deepEqual(missingFrom(enough, { clusters }), []);
    const [found = '', ...more] = missingFrom({ ...enough, ...changes }, { clusters });
    assert.match(found, words);
    assert.deepEqual(more, []);
  }
});

test('a fault that was asked for must happen, and only what was asked for is expected', () => {
  const faults = { kill: 10 };
  const only = ['kill'];
  assert.deepEqual(missingFrom({ ...enough, faults, switches: 0 }, { clusters: 2, only }), []);
  const two = ['kill', 'power'];
  assert.deepEqual(missingFrom({ ...enough, faults }, { clusters: 1, only: two }), [
    'power never happened',
  ]);
});
