import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TopicLabels } from '../../../src/http/topic-labels.ts';

test('the busiest topics have the labels, keep them, and the rest never falls', () => {
  const labels = new TopicLabels(2);
  const of = (counts: Record<string, number>) =>
    Object.fromEntries(
      labels.add(Object.entries(counts).map(([name, count]) => ({ name, count }))),
    );
  assert.deepEqual(of({ idle: 0, a: 1 }), { a: 1 });
  assert.deepEqual(of({ idle: 0, a: 1, b: 2, c: 9 }), { a: 1, c: 9, other: 2 });
  assert.deepEqual(of({ idle: 7, a: 1, b: 50, c: 9 }), { a: 1, c: 9, other: 57 });
});
