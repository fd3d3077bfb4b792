import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerSession } from '../../../../src/produce/intake/producer-session.ts';
import { SegmentIndex } from '../../../../src/produce/sending/segment-index.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

test('it finds what looking at each message would find, in whatever order they came', async () => {
  const part = fc.record({
    producer: fc.integer({ min: 0, max: 1 }),
    gap: fc.integer({ min: 0, max: 3 }),
    count: fc.integer({ min: 1, max: 5 }),
    order: fc.nat(),
  });
  await check(
    fc.property(
      fc.array(part, { maxLength: 20 }),
      fc.nat(60),
      fc.integer({ min: 1, max: 20 }),
      (parts, from, span) => {
        const index = new SegmentIndex();
        const producers = [new ProducerSession(1n, 0), new ProducerSession(1n, 0)];
        const next = [1, 1];
        const placed = parts.map(({ producer, gap, count, order }) => {
          const first = (next[producer] as number) + gap;
          next[producer] = first + count;
          return { producer, first, count, order };
        });
        placed.sort((a, b) => a.order - b.order);
        const laneOf = new Map<string, number>();
        let lane = 1;
        for (const { producer, first, count } of placed) {
          index.add(producers[producer]!, { first, count, lane });
          for (let i = 0; i < count; i++) laneOf.set(`${producer}/${first + i}`, lane + i);
          lane += count;
        }
        assert.equal(index.size, placed.length);
        for (const [id, producer] of producers.entries()) {
          const found = index.find(producer, from, from + span);
          let at = from;
          while (at < from + span && !laneOf.has(`${id}/${at}`)) at++;
          if (at === from + span) {
            assert.equal(found, undefined);
            continue;
          }
          assert.deepEqual([found?.first, found?.lane], [at, laneOf.get(`${id}/${at}`)]);
          for (let i = 0; i < found!.count; i++) {
            assert.equal(found!.lane + i, laneOf.get(`${id}/${at + i}`));
            assert.ok(at + i < from + span);
          }
        }
        index.clear();
        assert.equal(index.size + index.end, 0);
      },
    ),
    500,
  );
});
