import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableOf } from '../../../src/cli/output.ts';

test('a table has its columns under their headings, numbers to the right', () => {
  const rows = [
    [1, 'a', undefined],
    [20, 'bc', 'x'],
  ];
  assert.equal(
    tableOf(['n', 'name', 'more'], rows),
    [' n  name  more', ' 1  a', '20  bc    x', ''].join('\n'),
  );
});

test('control characters of a name do not reach the terminal, nor break the line', () => {
  const table = tableOf(['name'], [['a\nb\u001b[31m\u009b'], ['ä']]);
  assert.equal(table, 'name\na\\x0ab\\x1b[31m\\x9b\nä\n');
});
