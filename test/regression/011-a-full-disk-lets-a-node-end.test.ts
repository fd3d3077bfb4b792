import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { laneStates } from '../support/node-state.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const path = 'lanes/0/';

async function readiness({ admin }: TestServer): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://${admin.host}:${admin.port}/readyz`);
  return { status: response.status, text: await response.text() };
}

const untilLane = (server: TestServer, state: string) =>
  until(async () => (await laneStates(server))[0]?.state === state, {
    timeoutMs: 60_000,
    what: `the lane to be ${state}`,
  });

/** A node whose disk is full from the first message on. */
async function startFull(): Promise<{ server: TestServer; disk: DiskFaults; client: RawClient }> {
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const env = preloadEnv({ pathPrefix: dataDir, faults: disk.file });
  const server = await startServer({ dataDir, env });
  const client = await RawClient.connect(server.mqp, { producerId: 5n });
  const { topicId: topic } = await client.open(uniqueTopic('full'));
  disk.set(
    { on: 'write', does: 'ENOSPC', to: Number.POSITIVE_INFINITY, path },
    { on: 'create', does: 'ENOSPC', to: Number.POSITIVE_INFINITY, path },
  );
  const [outcome] = await client.produce({ topic, first: 1, values: ['x'] });
  assert.equal(outcome?.name, 'UNKNOWN');
  await untilLane(server, 'full');
  return { server, disk, client };
}

test('a node whose disk is full says so, and serves once there is room', {
  skip: skipWithoutPreload(),
}, async () => {
  const { server, disk } = await startFull();
  const ready = await readiness(server);
  assert.equal(ready.status, 503);
  assert.match(ready.text, /lane 0 waits for room: its disk is full/);
  await assert.rejects(RawClient.connect(server.mqp, { producerId: 6n }), {
    code: ErrorCode.LANE_OUT,
  });
  disk.clear();
  await untilLane(server, 'serving');
  const client = await RawClient.connect(server.mqp, { producerId: 5n });
  const { topicId: topic } = await client.open(uniqueTopic('room'));
  const first = (client.hello?.lastSequence ?? 0) + 1;
  const [outcome] = await client.produce({ topic, first, values: ['y'] });
  assert.equal(outcome?.name, 'OK');
});

test('a node that waits for room on a full disk ends on SIGTERM', {
  skip: skipWithoutPreload(),
}, async () => {
  const { server } = await startFull();
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
});
