import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, messageOf } from '../../../src/base/errors.ts';
import { readCommandLine } from '../../../src/cli/option.ts';

const specs = {
  server: { kind: 'text', description: 'x', fallback: '127.0.0.1:7650' },
  header: { kind: 'list', description: 'x', value: 'N=V' },
  partition: { kind: 'count', description: 'x' },
  'in-flight': { kind: 'count', description: 'x', fallback: '1024', minimum: 1, maximum: 65_536 },
  timeout: { kind: 'duration', description: 'x', fallback: '60s' },
  every: { kind: 'duration', description: 'x', minimum: 1_000 },
  ack: { kind: 'choice', choices: ['stored', 'replicated'], description: 'x', fallback: 'stored' },
  json: { kind: 'boolean', description: 'x' },
} as const;

function refusal(...argv: string[]): string {
  try {
    readCommandLine(argv, specs);
  } catch (error) {
    assert.equal(codeOf(error), 'USAGE');
    return messageOf(error);
  }
  return assert.fail('it was accepted');
}

test('options have the values of their kinds, and the rest are words', () => {
  const argv = ['orders', '--header', 'a=1', '--json', '--header=b=2', '--timeout', '5s', '-'];
  const { options, words } = readCommandLine(argv, specs);
  assert.deepEqual(words, ['orders', '-']);
  assert.deepEqual(
    { ...options },
    {
      server: '127.0.0.1:7650',
      header: ['a=1', 'b=2'],
      partition: undefined,
      'in-flight': 1024,
      timeout: 5000,
      every: undefined,
      ack: 'stored',
      json: true,
    },
  );
});

test('a value may begin with a hyphen, and with two only after an equals sign', () => {
  assert.equal(readCommandLine(['--server', '-'], specs).options.server, '-');
  assert.equal(readCommandLine(['--server=--x'], specs).options.server, '--x');
  assert.match(refusal('--server', '--json'), /--server needs a value/);
});

test('what cannot be read is refused with what is allowed', () => {
  assert.match(refusal('--partition', '-1'), /"-1" is not a whole number of at least 0/);
  assert.match(refusal('--in-flight', '0'), /at least 1 and at most 65536/);
  assert.match(refusal('--timeout', 'soon'), /is not a duration such as 20s/);
  assert.match(refusal('--every', '999ms'), /is not a duration of at least 1s, such as 20s/);
  assert.match(refusal('--ack', 'store'), /one of stored, replicated \(did you mean stored\?\)/);
  assert.match(refusal('--json=maybe'), /--json takes no value/);
  assert.match(refusal('--partition'), /--partition needs a value/);
});

test('an option of another action is refused with those that it is for', () => {
  const of = {
    ...specs,
    due: { kind: 'text', of: ['move', 'show'], description: 'when' },
  } as const;
  assert.equal(readCommandLine(['move', 'x', '--due', '5'], of).options.due, '5');
  assert.equal(readCommandLine(['--due', '5', 'show'], of).options.due, '5');
  const foreign = () => readCommandLine(['list', '--due=5'], of);
  assert.throws(foreign, { code: 'USAGE', message: '--due is for move, show, not for list' });
  assert.doesNotThrow(() => readCommandLine(['list'], of));
});

test('an unknown option is refused with the nearest name', () => {
  assert.match(refusal('--heade', 'a=1'), /unknown option --heade \(did you mean --header\?\)/);
  assert.match(refusal('-x'), /unknown option -x/);
});
