import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { messageBytes, type ProduceMessage } from '../../../../protocol/src/produce.ts';
import { messageRoom } from '../../../../src/backend/kafka/message-room.ts';
import { fc } from '../../../support/fast-check.ts';

const require = createRequire(import.meta.url);
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch(of: object): Promise<{ buffer: Buffer }>;
};
const recordOf = require('kafkajs/src/protocol/recordBatch/record/v0') as (of: object) => unknown;

const HEADERS_BYTES_MAX = 32 * 1024;
/** With a due time. */
const MQ_BYTES = 42;

/** The batch of that one message, by kafkajs. */
async function batchBytes({ key, value, headers = [] }: ProduceMessage): Promise<number> {
  const byName: Record<string, Buffer[]> = { mq: [Buffer.alloc(MQ_BYTES)] };
  for (const each of headers) {
    byName[each.name] = [...(byName[each.name] ?? []), Buffer.from(each.value ?? [])];
  }
  const parts = { key: key ?? null, value, headers: byName };
  return (await RecordBatch({ records: [recordOf(parts)] })).buffer.length;
}

const room = (batchBytesMax: number): number =>
  messageRoom({ batchBytesMax, headersBytesMax: HEADERS_BYTES_MAX });

/** A message of just that length: the headers as far as they fit, and the rest is value. */
function filled(bytes: number, key: number, headers: readonly (readonly [number, number])[]) {
  const message = {
    ...(key < 0 ? {} : { key: Buffer.alloc(Math.min(key, bytes)) }),
    headers: [] as { name: string; value: Buffer }[],
    value: Buffer.alloc(0),
  };
  for (const [name, value] of headers) {
    message.headers.push({ name: 'n'.repeat(name), value: Buffer.alloc(value) });
    if (messageBytes(message) > bytes) message.headers.pop();
  }
  message.value = Buffer.alloc(bytes - messageBytes(message));
  return message;
}

test('the largest message of a topic fits its batch, whatever it is made of', async () => {
  const header = fc.tuple(
    fc.constantFrom(1, 63, 64, 255),
    fc.constantFrom(0, 63, 64, 300, 8191, 8192),
  );
  const property = fc.asyncProperty(
    fc.constantFrom(200, 250, 2_000, 50_000, 1_048_588),
    fc.constantFrom(-1, 0, 63, 64, 8_192, 32_768),
    fc.array(header, { maxLength: 300 }),
    async (batchBytesMax, key, headers) => {
      const message = filled(room(batchBytesMax), key, headers);
      assert.equal(messageBytes(message), room(batchBytesMax));
      assert((await batchBytes(message)) <= batchBytesMax);
    },
  );
  await fc.assert(property, { numRuns: 200, seed: 0x6d71 });
});

test('what is kept free is what the longest headers need, and little more', async () => {
  for (const batchBytesMax of [200, 2_000, 1_048_588]) {
    const most = room(batchBytesMax);
    const worst = Array.from({ length: 250 }, () => [64, 64] as const);
    const unused = batchBytesMax - (await batchBytes(filled(most, 64, worst)));
    assert(unused >= 0 && unused <= 16, `${unused} bytes of ${batchBytesMax}`);
  }
});

test('a topic that takes next to nothing still has a limit', () => {
  for (const batchBytesMax of [0, 1, 61, 126]) assert.equal(room(batchBytesMax), 1);
});
