import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTopics } from '../support/data-dir.ts';
import { laneStates } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { repoRoot } from '../support/repo.ts';
import { serveRefusal, startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

const topics = ['orders', 'payments'];
const producers = Array.from({ length: 8 }, (_, i) => BigInt(i + 1));
const perProducer = 40;
/** Nobody listens there: what is stored waits. */
const kafkaBrokers = '127.0.0.1:1';

async function start(dataDir: string, lanes: number): Promise<TestServer> {
  const args = ['--lanes', String(lanes), '--log-level', 'error'];
  return startServer({ dataDir, backend: 'kafka', kafkaBrokers, args });
}

/** Every producer sends sequences from 1; answers how each was answered. */
async function produceAll(server: TestServer, count = perProducer): Promise<string[]> {
  const names: string[] = [];
  for (const producerId of producers) {
    const client = await RawClient.connect(server.mqp, { producerId });
    const name = topics[Number(producerId) % 2] as string;
    const { topicId: topic } = await client.open(name);
    const values = Array.from({ length: count }, (_, i) => `${producerId}/${i + 1}`);
    const outcomes = await client.produce({ topic, first: 1, values, key: `k${producerId}` });
    names.push(...outcomes.map((outcome) => outcome.name));
    client.socket.destroy();
  }
  return names;
}

function outbox(...args: string[]): { status: number | null; text: string; stdout: string } {
  const bin = join(repoRoot, 'bin', 'mqproxy.js');
  const run = spawnSync(process.execPath, [bin, 'outbox', ...args], { encoding: 'utf8' });
  return { status: run.status, text: run.stdout + run.stderr, stdout: run.stdout };
}

/** What waits, as `outbox export` gives it: by producer in order of sequence. */
function waiting(dataDir: string): string[] {
  const { status, stdout, text } = outbox('export', '--data-dir', dataDir, '--json');
  assert.equal(status, 0, text);
  const lines = stdout.trim().split('\n');
  return lines.map((line) => {
    const { topic, id, key, value } = JSON.parse(line) as Record<string, string>;
    return `${topic} ${id} ${key} ${value}`;
  });
}

async function untilStored(server: TestServer, messages: number): Promise<number> {
  let duplicates = 0;
  await until(
    async () => {
      const lanes = await laneStates(server);
      duplicates = lanes.reduce((sum, lane) => sum + lane.duplicateMessages, 0);
      return lanes.reduce((sum, lane) => sum + lane.outboxMessages, 0) === messages;
    },
    { what: `${messages} messages to wait` },
  );
  return duplicates;
}

test('a changed lane count is refused with the command, which keeps all there is', async () => {
  const dataDir = tempDir('mqproxy-data-');
  mkdirSync(dataDir, { recursive: true });
  writeTopics(dataDir, topics);
  const all = producers.length * perProducer;
  const first = await start(dataDir, 1);
  assert((await produceAll(first)).every((name) => name === 'OK'));
  await first.kill('SIGKILL');
  const before = waiting(dataDir);
  assert.equal(before.length, all);

  for (const lanes of [4, 1]) {
    const args = ['--lanes', String(lanes)];
    const refusal = await serveRefusal({ dataDir, backend: 'kafka', kafkaBrokers, args });
    assert.notEqual(refusal.code, 0);
    const command = `mqproxy outbox relane ${lanes} --data-dir ${dataDir}`;
    assert(refusal.stderr.includes(command), refusal.stderr);
    const { status, text } = outbox('relane', String(lanes), '--data-dir', dataDir);
    assert.equal(status, 0, text);
    assert.deepEqual(waiting(dataDir).toSorted(), before.toSorted(), `with ${lanes} lanes`);

    // Everything that is sent again is known: the windows came along.
    const server = await start(dataDir, lanes);
    assert((await produceAll(server)).every((name) => name === 'OK'));
    assert.equal(await untilStored(server, all), all, `with ${lanes} lanes`);
    await server.kill('SIGKILL');
    assert.equal(waiting(dataDir).length, all);
  }
});
