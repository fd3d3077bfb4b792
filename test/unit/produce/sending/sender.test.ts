import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { Sender } from '../../../../src/produce/sending/sender.ts';
import { FakeProducer } from '../support.ts';

test('a verdict of what was not sent stops the lane, whose books would be wrong from then on', () => {
  const producer = new FakeProducer({ topics: new Map() });
  const log = silentLogger();
  const sender = new Sender({ producer, clock: systemClock, log, onUsable: () => {} });
  sender.settled(0);
  assert.throws(() => sender.settled(1), /that this sender did not send/);
});
