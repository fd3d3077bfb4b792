import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MqpError } from '../../../sdk/ts/src/errors.ts';
import { wordsOfNoAck } from '../../../src/cli/commands/consume.ts';

test('a message comes again for sure only when the node has refused its ack', () => {
  const words = (code: 'LEASE_LOST' | 'CLOSED' | 'TIMED_OUT') =>
    wordsOfNoAck(new MqpError(code, 'why'));
  assert.match(words('LEASE_LOST'), /^ comes again: .*why$/);
  const unknown = /^: its ack was not answered, so it may come again: .*why$/;
  for (const code of ['CLOSED', 'TIMED_OUT'] as const) assert.match(words(code), unknown);
});
