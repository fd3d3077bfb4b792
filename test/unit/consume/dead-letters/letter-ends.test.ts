import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { LetterEnds } from '../../../../src/consume/dead-letters/letter-ends.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { FakeClock } from '../../backend/embedded/doubles.ts';

const place = { topic: 'orders.billing.dlq', partition: 0 };
const idOf = (sequence: number) => ({ producerId: 0xff_ee_dd_cc_bb_aa_99_01n, epoch: 7, sequence });

function bytesOf(sequence: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(idOf(sequence).producerId, 0);
  bytes.writeUInt16BE(7, 8);
  bytes.writeUIntBE(sequence, 10, 6);
  return bytes;
}

function withLetters(count: number) {
  const cluster = new MemoryCluster();
  cluster.addTopic(place.topic, 1);
  const letters = Array.from({ length: count }, (_, i) => ({ value: 'v', id: bytesOf(i + 1) }));
  cluster.append(place.topic, 0, { value: 'foreign, without an id' }, ...letters);
  const clock = new FakeClock();
  return { cluster, clock, ends: new LetterEnds(cluster, clock) };
}

test('the last letters of a topic are known by their ids', async () => {
  const { ends } = withLetters(3);
  const ids = await ends.since(place, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map((n) => ids.has(idOf(n))),
    [true, true, true, false],
  );
  assert.ok(!ids.has({ ...idOf(1), epoch: 8 }));
});

test('an end is read once for all that this owner had then, and again for what it takes later', async () => {
  const { cluster, clock, ends } = withLetters(1);
  const takenMs = clock.monotonic();
  const first = await ends.since(place, takenMs);
  cluster.append(place.topic, 0, { value: 'v', id: bytesOf(2) });
  assert.equal(await ends.since(place, takenMs), first);
  assert.ok(!first.has(idOf(2)));
  clock.advance(500);
  assert.ok((await ends.since(place, takenMs + 200)).has(idOf(2)));
});

test('a long topic is read at its end alone', async () => {
  const { ends } = withLetters(2 * limits.deadEndIdsMax);
  const ids = await ends.since(place, 0);
  const known = Array.from({ length: 2 * limits.deadEndIdsMax }, (_, i) => ids.has(idOf(i + 1)));
  assert.ok(known.slice(-limits.deadEndIdsMax).every((has) => has));
  assert.ok(known.filter((has) => has).length < 1.5 * limits.deadEndIdsMax);
});

test('where the end cannot be read nothing is known, and the next one asks again', async () => {
  const { cluster, ends } = withLetters(1);
  const log = cluster.logs.get(`${place.topic}/0`);
  assert(log !== undefined);
  cluster.logs.clear();
  assert.ok(!(await ends.since(place, 0)).has(idOf(1)));
  cluster.logs.set(`${place.topic}/0`, log);
  assert.ok((await ends.since(place, 0)).has(idOf(1)));
});
