import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  delayIdOfKey,
  delayIdOfMessage,
  delayIdOfSeries,
  formatDelayId,
} from '../../../protocol/src/delay-id.ts';
import { readVectors } from '../../support/vectors.ts';

test('ids are computed as the second implementation computes them', () => {
  const file = readVectors().find(({ file }) => file.startsWith('delay-id'));
  const text = (name: string) => {
    const vector = file?.vectors.find((v) => v.name === name);
    return Buffer.from(vector?.hex ?? '', 'hex').toString();
  };
  const message = { producerId: 0xffn, epoch: 1, sequence: 42 };
  const last = { producerId: 0xffff_ffff_ffff_ffffn, epoch: 65_535, sequence: 2 ** 48 - 1 };
  assert.equal(formatDelayId(delayIdOfMessage(message)), text('of a message'));
  assert.equal(formatDelayId(delayIdOfMessage(message, true)), text('of a message on a level'));
  assert.equal(formatDelayId(delayIdOfMessage(last)), text('of the largest message id'));
  assert.equal(formatDelayId(delayIdOfKey('orders', 'o-17')), text('of topic orders and key o-17'));
  assert.equal(formatDelayId(delayIdOfSeries('nightly')), text('of the series nightly'));
});
