import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandOver } from '../../../../src/produce/sending/hand-over.ts';
import { ManualClock } from '../../store/support.ts';
import { FakeStore } from '../fake-store.ts';

/** A hand-over, what went through it, and a broker that reports when it is told to. */
function bench() {
  const store = new FakeStore();
  const clock = new ManualClock();
  const sent: string[] = [];
  const wire = { messages: 0 };
  const handOver = new HandOver({
    clock,
    inFlight: () => wire.messages,
    forward: (batch, payload) => {
      assert(
        payload.every((byte) => byte === payload.length % 256),
        'the bytes of another batch',
      );
      sent.push(`${batch.firstSequence}:${payload.length}`);
      wire.messages += batch.messages;
    },
  });
  const take = (bytes: number, isWaitedFor = false) => {
    const batch = store.append([1]);
    batch.hasReplicated = isWaitedFor;
    const payload = Buffer.alloc(bytes, bytes % 256);
    handOver.take(batch, payload);
    // It was lent.
    payload.fill(0xff);
  };
  return { handOver, clock, sent, wire, take };
}

test('a batch goes at once while nothing is on its way, the next ones gather', () => {
  const { handOver, sent, wire, take } = bench();
  for (let i = 0; i < 4; i++) take(10 + i);
  assert.deepEqual(sent, ['1:10']);
  assert.equal(handOver.first, 2);
  handOver.reported();
  assert.deepEqual(sent, ['1:10'], 'it is still on its way');
  wire.messages = 0;
  handOver.reported();
  assert.deepEqual(sent, ['1:10', '2:11', '3:12', '4:13']);
  assert.equal(handOver.first, Number.POSITIVE_INFINITY);
});

test('what somebody waits for goes at once, behind everything before it', () => {
  const { sent, take } = bench();
  take(10);
  take(11);
  take(12, true);
  assert.deepEqual(sent, ['1:10', '2:11', '3:12']);
});

test('many bytes and a long time end the gathering', () => {
  const { clock, sent, take } = bench();
  take(10);
  take(11);
  clock.advance(4);
  assert.equal(sent.length, 1);
  clock.advance(1);
  assert.deepEqual(sent, ['1:10', '2:11']);
  take(12);
  take(256 * 1024 - 12);
  assert.equal(sent.length, 4);
});
