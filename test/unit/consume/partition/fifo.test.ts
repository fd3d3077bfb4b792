import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fifo } from '../../../../src/consume/partition/fifo.ts';
import { fc } from '../../../support/fast-check.ts';

test('a queue agrees with an array, whatever goes in and out', () => {
  const steps = fc.array(fc.boolean(), { maxLength: 200, size: 'max' });
  fc.assert(
    fc.property(steps, (some) => {
      const fifo = new Fifo<number>();
      const twin: number[] = [];
      for (const [i, isPush] of some.entries()) {
        if (isPush) {
          fifo.push(i);
          twin.push(i);
        } else assert.equal(fifo.shift(), twin.shift());
        assert.deepEqual([fifo.size, fifo.first], [twin.length, twin[0]]);
      }
    }),
  );
});
