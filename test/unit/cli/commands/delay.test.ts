import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statsText } from '../../../../src/cli/commands/delay.ts';

test('counts stand a line each, and one that was ended says that there may be more', () => {
  assert.equal(statsText({ pending: 3, near: 1 }), 'pending  3\nnear  1\n');
  assert.equal(statsText({ pending: 3, atLeast: true, near: 1 }), 'pending  3 or more\nnear  1\n');
  assert.equal(
    statsText({ pending: 3, stuckTopics: ['a', 'b'] }),
    'pending  3\nstuckTopics  a, b\n',
  );
});
