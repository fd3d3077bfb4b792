import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32c } from '../../../src/native/addon.ts';
import { BatchHeaderBuilder, decodeBatchHeader } from '../../../src/store/batch-header.ts';

const refusal = { code: 'STORE_CORRUPT', message: /^expected a batch header.*, found / };

function aHeader(): Buffer {
  const builder = new BatchHeaderBuilder();
  builder.reset(1_700_000_000_000);
  builder.addSegment({ producerId: 7n, epoch: 1, flags: 0, count: 3, firstSequence: 10 });
  builder.addTopic({ id: 5, name: 'orders' });
  const seal = { previousCrc: 77, firstSequence: 100, payloadBytes: 33, payloadCrc: 9 };
  return Buffer.from(builder.finish(seal, crc32c));
}

test('a header is read as it was written', () => {
  const { crc, ...header } = decodeBatchHeader(aHeader(), crc32c);
  assert.equal(crc, aHeader().readUInt32LE(4));
  assert.deepEqual(header, {
    previousCrc: 77,
    messages: 3,
    firstSequence: 100,
    acceptedMs: 1_700_000_000_000,
    payloadBytes: 33,
    payloadCrc: 9,
    segments: [{ producerId: 7n, epoch: 1, flags: 0, count: 3, firstSequence: 10 }],
    topics: [{ id: 5, name: 'orders' }],
    chunks: [],
  });
});

test('any flipped bit, and any length but its own, says what was expected and found', () => {
  const header = aHeader();
  for (let bit = 0; bit < header.length * 8; bit++) {
    // The link to the header before is compared by who reads the chain: as the seed of the CRC and
    // its first bytes it is checked against itself.
    if (bit >= 64 && bit < 96) continue;
    const flipped = Buffer.from(header);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.throws(() => decodeBatchHeader(flipped, crc32c), refusal, `bit ${bit}`);
  }
  for (let length = 0; length < header.length; length++) {
    const cut = header.subarray(0, length);
    assert.throws(() => decodeBatchHeader(cut, crc32c), refusal, `${length} bytes`);
  }
});
