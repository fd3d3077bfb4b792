import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { metric } from '../support/node-state.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { countOf } from '../support/seeded.ts';
import { until } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const EIO_AT_SYNC = { on: 'sync', does: 'EIO' } as const;
const cycles = countOf('MQP_IO_ERRORS', isLong ? 30 : 2);

/**
 * One sync or write of the store fails under load; a kill then makes the next one a first one
 * again, and the notes of what the restarted node sends again are refused too, for a while.
 */
test('failed syncs, writes and notes under load cost nothing that was answered, and no lane', {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const crew = { ack: 'mixed', ratePerSecond: 2_000 } as const;
  const run = await FaultRun.start({ brokers: await sharedKafka(), preload: true, crew });
  const said = (words: RegExp) => run.server.stderr().match(words)?.length ?? 0;
  const recovered = () => said(/store was opened again/g);
  const lateNotes = () => metric(run.server, 'mqproxy_resend_notes_late_total');
  let late = 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const before = recovered();
    const isFull = cycle % 2 === 1;
    run.crew.history.event('disk');
    const fault = isFull ? ({ on: 'write', does: 'ENOSPC' } as const) : EIO_AT_SYNC;
    run.disk.set({ ...fault, from: 1 + run.random.below(20), path: '/store/' });
    const done = () => recovered() > before || /out of service/.test(run.server.stderr());
    await until(done, { timeoutMs: 60_000, what: 'the lane to come back' });
    run.disk.clear();
    assert.doesNotMatch(run.server.stderr(), /out of service/);
    await run.crew.untilAnswered(50);
    const does = isFull ? 'ENOSPC' : 'EIO';
    run.onKill = () => run.disk.set({ on: 'write', does, to: Infinity, path: '/resends.jsonl' });
    await run.kill();
    // It answers, and sends, though the disk takes no note.
    late += await lateNotes();
    run.disk.clear();
    const wereHeld = said(/notes of what is sent again wait in memory/g);
    const areWritten = () => said(/resends.jsonl was written again/g) === wereHeld;
    await until(areWritten, { what: 'the notes to be written' });
    assert.equal(await metric(run.server, 'mqproxy_store_failures_total'), 0);
  }
  assert(late > 0, 'no note was late');
  await run.endWell({ events: { disk: cycles, kill: cycles } });
});
