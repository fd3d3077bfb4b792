import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Correlations } from '../../../sdk/ts/src/correlations.ts';
import { Message, TopicHandle } from '../../../sdk/ts/src/message.ts';

function message(): Message {
  const topic = new TopicHandle('orders');
  const empty = { valueBytes: 0, key: null, keyBytes: 0, headers: null, partition: -1 };
  return new Message({ topic, value: null, ...empty, ack: 'stored', due: null });
}

it('an answer finds its message once, and a stale one finds nothing', () => {
  const correlations = new Correlations();
  const one = message();
  correlations.put(one);
  const first = one.correlationId;
  assert.equal(correlations.take(first), one);
  correlations.put(one);
  assert.equal(correlations.take(first), undefined);
  assert.equal(correlations.take(one.correlationId), one);
});

it('a message that a hundred thousand others overtake is still found', () => {
  const correlations = new Correlations();
  const slow = message();
  correlations.put(slow);
  const others = Array.from({ length: 3000 }, message);
  for (let round = 0; round < 40; round++) {
    for (const other of others) correlations.put(other);
    for (const other of others) assert.equal(correlations.take(other.correlationId), other);
  }
  assert.equal(correlations.take(slow.correlationId), slow);
});

it('ids begin again at 1 behind 2^31 - 1, where the control requests have theirs', () => {
  const correlations = new Correlations(0x7fff_fffe);
  const messages = [message(), message(), message()];
  for (const each of messages) correlations.put(each);
  assert.deepEqual(
    messages.map(({ correlationId }) => correlationId),
    [0x7fff_fffe, 0x7fff_ffff, 1],
  );
  for (const each of messages) assert.equal(correlations.take(each.correlationId), each);
});
