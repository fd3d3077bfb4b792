import assert from 'node:assert/strict';
import { statSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { copyOf, logRecordEnds, newestLog, writeTopics } from '../support/data-dir.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { serveRefusal, startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { producerOfLane } from './layout.ts';

/** Nobody listens there: what is stored waits. */
const kafka = { backend: 'kafka', kafkaBrokers: '127.0.0.1:1' } as const;
const perLane = 20;

/** A node's folder after a planned stop, with messages that wait in each of four lanes. */
async function makeOutbox(): Promise<string> {
  const dataDir = tempDir();
  writeTopics(dataDir, ['orders']);
  const server = await startServer({ ...kafka, dataDir, args: ['--lanes', '4'] });
  for (const producerId of producerOfLane) {
    const client = await RawClient.connect(server.mqp, { producerId });
    const { topicId: topic } = await client.open('orders');
    for (let first = 1; first <= perLane; first++) {
      const [outcome] = await client.produce({ topic, first, values: [`value ${first}`] });
      assert.equal(outcome?.name, 'OK');
    }
    client.socket.destroy();
  }
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  return dataDir;
}

test('of four lanes the damaged one is named, and the others are whole', async () => {
  const whole = await makeOutbox();
  for (const lane of producerOfLane.keys()) {
    const dataDir = copyOf(whole);
    const log = newestLog(dataDir, lane);
    const ends = logRecordEnds(log);
    assert.equal(ends.at(-1), statSync(log).size, 'the log is read to its end');
    truncateSync(log, ends.at(-5));
    const { code, stderr } = await serveRefusal({ ...kafka, dataDir });
    assert.equal(code, 70);
    const named = [...stderr.matchAll(/lane (\d+): expected .* found /g)].map(([, n]) => n);
    assert.deepEqual(new Set(named), new Set([String(lane)]), stderr);
    const verified = await runCli(['outbox', 'verify', '--data-dir', dataDir]);
    assert.equal(verified.code, 70);
    for (const other of producerOfLane.keys()) {
      const words = other === lane ? 'expected .* found ' : `whole; ${perLane} waiting, `;
      assert.match(
        verified.stdout + verified.stderr,
        new RegExp(`^.*lane ${other}: ${words}`, 'm'),
      );
    }
  }
});
