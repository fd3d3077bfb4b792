import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusScreen } from '../../../src/cli/commands/status.ts';

test('a status is one screen, with the units of the names at the values', () => {
  const screen = statusScreen({
    nodeId: '0a',
    pid: 22580,
    uptimeMs: 3_600_000,
    outbox: { bytes: 5 * 2 ** 20, oldest: { ageMs: 12 } },
    warnings: [],
    lanes: [
      { lane: 0, batches: 12345 },
      { lane: 1, batches: 1 },
    ],
  });
  assert.equal(
    screen,
    [
      'node id  0a',
      'pid      22580',
      'uptime   1h',
      '',
      'outbox',
      '  bytes       5.0 MiB',
      '  oldest age  12 ms',
      '',
      'lanes',
      '  lane  batches',
      '  0     12,345',
      '  1     1',
      '',
    ].join('\n'),
  );
});

test('a list with many fields is turned, so that it stays on the screen', () => {
  const lane = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`counterNumber${i}`, i]));
  const screen = statusScreen({
    lanes: [
      { lane: 0, ...lane },
      { lane: 1, ...lane },
    ],
  });
  const lines = screen.split('\n');
  assert.deepEqual(lines.slice(0, 3), [
    'lanes',
    '  lane              0   1',
    '  counter number0   0   0',
  ]);
  assert.equal(lines.length, 15);
});
