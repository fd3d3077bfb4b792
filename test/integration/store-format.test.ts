import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { laneOf } from '../../src/server/handlers/hello.ts';
import { openLaneStore } from '../../src/store/open-lane-store.ts';
import { writeTopics } from '../support/data-dir.ts';
import { laneStates } from '../support/node-state.ts';
import { RawClient, readAll } from '../support/raw-client.ts';
import { repoRoot } from '../support/repo.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { packFolder, unpackFolder } from '../support/store-fixture.ts';
import { tempDir } from '../support/temp-dir.ts';
import { crc32c } from '../unit/store/support.ts';

// Data folders as released formats left them. A new format adds a file here and keeps the old ones:
// `MQP_WRITE_FIXTURES=1` writes those that are missing, with the build as it is.
const fixtures = join(repoRoot, 'test', 'integration', 'fixtures');
const topic = 'kept';
const values = Array.from({ length: 200 }, (_, i) => `value ${i + 1} ${'v'.repeat(i % 40)}`);

async function produceAll(address: { host: string; port: number }, from: number, to: number) {
  const client = await RawClient.connect(address, { producerId: 5n });
  const { topicId } = await client.open(topic);
  const run = { topic: topicId, first: from + 1, values: values.slice(from, to), batch: true };
  const outcomes = await client.produce(run);
  assert(outcomes.every(({ name }) => name === 'OK'));
  client.socket.destroy();
}

/** A folder with tables, a log, and windows. */
async function makeFolder(): Promise<string> {
  const server = await startServer();
  await produceAll(server.mqp, 0, 120);
  await server.restart();
  await produceAll(server.mqp, 120, values.length);
  await server.kill('SIGTERM');
  return server.dataDir;
}

test('a data folder of format 1 opens with everything in it, and goes on', async () => {
  const file = join(fixtures, 'embedded-format-1.bin');
  if (process.env['MQP_WRITE_FIXTURES'] === '1' && !existsSync(file))
    packFolder(await makeFolder(), file);
  const dataDir = tempDir('mqproxy-format-');
  unpackFolder(file, dataDir);
  const server = await startServer({ dataDir });
  const read = async () =>
    (await readAll(server.mqp, topic)).toSorted((a, b) => a.sequence - b.sequence);
  assert.deepEqual(
    (await read()).map(({ value }) => value.toString()),
    values,
  );
  const client = await RawClient.connect(server.mqp, { producerId: 5n });
  const { topicId } = await client.open(topic);
  // Its window came along: what was sent in the old format is known, what follows is new.
  const [known] = await client.produce({ topic: topicId, first: 200, values: ['again'] });
  const [fresh] = await client.produce({ topic: topicId, first: 201, values: ['new'] });
  assert.deepEqual([known?.name, fresh?.name], ['OK', 'OK']);
  assert.deepEqual(
    (await read()).map(({ value }) => value.toString()),
    [...values, 'new'],
  );
});

const lanes = 2;
/** Of each lane's 100 messages these, by the lane's sequence; the others wait. */
const confirmed = [1, 2, 3, 10, 50];
const undeliverable = [4, 60];
const parked = [5, 20, 70];
const producers = Array.from({ length: lanes }, (_, lane) =>
  Array.from({ length: 20 }, (_, i) => BigInt(i + 1)).find((id) => laneOf(id, lanes) === lane),
);
const textOf = (producer: bigint | undefined, n: number) =>
  `value ${n} of ${producer} ${'v'.repeat(n % 40)}`;
const away = {
  backend: 'kafka',
  kafkaBrokers: '127.0.0.1:1',
  args: ['--lanes', `${lanes}`],
} as const;

/** The outbox of a node whose Kafka is away; what a Kafka would have said is put in by hand. */
async function makeOutbox(): Promise<string> {
  const dataDir = tempDir('mqproxy-format-');
  writeTopics(dataDir, [topic]);
  const server = await startServer({ ...away, dataDir });
  for (const producerId of producers as bigint[]) {
    const client = await RawClient.connect(server.mqp, { producerId });
    const { topicId } = await client.open(topic);
    const own = Array.from({ length: 100 }, (_, i) => textOf(producerId, i + 1));
    for (let first = 1; first <= 100; first += 25) {
      const run = { topic: topicId, first, values: own.slice(first - 1, first + 24), key: 'k' };
      const outcomes = await client.produce(run);
      assert(outcomes.every(({ name }) => name === 'OK'));
    }
  }
  await server.kill('SIGTERM');
  for (let lane = 0; lane < lanes; lane++) {
    const folder = join(dataDir, 'lanes', String(lane));
    const store = await openLaneStore({ folder, lane, clock: systemClock, crc32c });
    for (const sequence of confirmed) store.confirm(sequence, 1);
    const entry = { code: 'MESSAGE_TOO_LARGE', reason: 'kafka: MSG_SIZE_TOO_LARGE' };
    await store.aside.put(
      'undeliverable',
      undeliverable.map((sequence) => ({ ...entry, sequence })),
    );
    const waits = { code: 'PARKED', reason: 'its topic takes no messages' };
    await store.aside.put(
      'parked',
      parked.map((sequence) => ({ ...waits, sequence })),
    );
    await store.close();
  }
  return dataDir;
}

test('an outbox of format 1 opens with what waits, what is confirmed, undeliverable and parked', async () => {
  const file = join(fixtures, 'outbox-format-1.bin');
  if (process.env['MQP_WRITE_FIXTURES'] === '1' && !existsSync(file))
    packFolder(await makeOutbox(), file);
  const dataDir = tempDir('mqproxy-format-');
  unpackFolder(file, dataDir);
  const gone = [...confirmed, ...undeliverable, ...parked];
  const of = (sequences: readonly number[]) =>
    producers.flatMap((producer) => sequences.map((n) => textOf(producer, n))).sort();
  const all = Array.from({ length: 100 }, (_, i) => i + 1);
  const valuesIn = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { value: string }).value)
      .sort();
  const cli = async (...words: string[]) => {
    const { code, stdout, stderr } = await runCli(words);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const exported = async (state: string) =>
    valuesIn(await cli('outbox', 'export', '--data-dir', dataDir, '--state', state));
  assert.deepEqual(await exported('waiting'), of(all.filter((n) => !gone.includes(n))));
  assert.deepEqual(await exported('undeliverable'), of(undeliverable));
  assert.deepEqual(await exported('parked'), of(parked));
  const server = await startServer({ ...away, dataDir });
  for (const lane of await laneStates(server)) {
    const { outboxMessages, undeliverableMessages, parkedMessages } = lane;
    assert.deepEqual(
      [outboxMessages, undeliverableMessages, parkedMessages],
      [100 - gone.length, undeliverable.length, parked.length],
    );
  }
  for (const producerId of producers as bigint[]) {
    const client = await RawClient.connect(server.mqp, { producerId });
    const { topicId } = await client.open(topic);
    const outcomes = await client.produce({ topic: topicId, first: 100, values: ['again', 'new'] });
    assert.deepEqual(
      outcomes.map(({ name }) => name),
      ['OK', 'OK'],
    );
  }
  const [waiting] = await laneStates(server);
  assert.equal(waiting?.outboxMessages, 100 - gone.length + 1, 'what it knows is not taken again');
});
