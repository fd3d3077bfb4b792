import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RawClient, readAll } from '../support/raw-client.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { packFolder, unpackFolder } from '../support/store-fixture.ts';
import { tempDir } from '../support/temp-dir.ts';

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
