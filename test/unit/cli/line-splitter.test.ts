import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Line, LineSplitter, tooLong } from '../../../src/cli/line-splitter.ts';
import { fc } from '../../support/fast-check.ts';

function split(chunks: readonly (string | Buffer)[], lineBytesMax = 1000): (string | symbol)[] {
  const splitter = new LineSplitter(lineBytesMax);
  const lines: Line[] = [];
  for (const chunk of chunks) splitter.push(Buffer.from(chunk), lines);
  splitter.end(lines);
  return lines.map((line) => (line === tooLong ? line : line.toString('latin1')));
}

test('a line ends at LF, and the last needs none', () => {
  assert.deepEqual(split(['a\nb\n']), ['a', 'b']);
  assert.deepEqual(split(['a\nb']), ['a', 'b']);
  assert.deepEqual(split([]), []);
});

test('an empty line is a message', () => {
  assert.deepEqual(split(['\n\na\n\n']), ['', '', 'a', '']);
});

test('one CR before the LF is dropped, and no more', () => {
  assert.deepEqual(split(['a\r\nb\r\r\n\r\n', 'c\rd\n']), ['a', 'b\r', '', 'c\rd']);
  assert.deepEqual(split(['a\r', '\nb']), ['a', 'b']);
});

test('a line over the limit is named once, and the next is read as usual', () => {
  assert.deepEqual(split(['12345', '6\n12345\r\nx\n'], 5), [tooLong, '12345', 'x']);
  assert.deepEqual(split(['12345\r', '\n12345\r', 'x\nok'], 5), ['12345', tooLong, 'ok']);
  assert.deepEqual(split(['1', '2', '3', '4', '5', '6', '7'], 5), [tooLong]);
});

test('wherever the stream is cut, the lines are the same', () => {
  const seed = Number(process.env['MQPROXY_TEST_SEED'] ?? 11);
  console.log(`seed=${seed}`);
  const text = fc.array(fc.constantFrom('a', 'bcd', '\n', '\r', '\r\n'), { maxLength: 40 });
  const property = fc.property(text, fc.array(fc.nat(60)), (parts, cuts) => {
    const whole = parts.join('');
    const places = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b);
    const chunks = [0, ...places].map((from, i) => whole.slice(from, places[i] ?? whole.length));
    const naive = whole.split('\n');
    if (naive.at(-1) === '') naive.pop();
    const expected = naive.map((line) => {
      const bare = line.endsWith('\r') ? line.slice(0, -1) : line;
      return bare.length > 6 ? tooLong : bare;
    });
    assert.deepEqual(split(chunks, 6), expected);
  });
  fc.assert(property, { seed, numRuns: 500 });
});
