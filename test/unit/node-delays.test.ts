import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Publisher } from '../../src/backend/publisher-port.ts';
import { coded } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { ClusterPorts } from '../../src/cluster-ports.ts';
import type { LaneDelay } from '../../src/lanes/lane-calls.ts';
import { NodeDelays, type NodeDelaysParts } from '../../src/node-delays.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';
import { DelayLog } from './delay/delay-log.ts';

const TOPIC = 7;
const refused = coded('ROLE_REFUSED', 'cleanup.policy is delete, and must be compact');
const publisher = (cluster: 0 | 1): Publisher => ({
  cluster,
  inFlightBytes: 0,
  publish: async (records) => records.map(() => ({ partition: 0, offset: 0 })),
  close: async () => {},
});

/** Two clusters: what becomes of their delay logs, in the order they are asked. */
function delaysOf(ensure: readonly ((told: readonly number[]) => Promise<void>)[]) {
  const told: number[] = [];
  const links = [{ call: async (_: string, { topic }: LaneDelay) => void told.push(topic) }];
  const ports = ensure.map((one, i) => {
    const cluster = i as 0 | 1;
    const { backend } = new DelayLog();
    const consumers = Object.assign(Object.create(backend), { cluster });
    return {
      consumers,
      publisher: publisher(cluster),
      topics: { cluster, ensure: () => one(told) },
    };
  });
  const parts = {
    config: { dataDir: tempDir('mqproxy-delays-'), limits: { messageBytesMax: 1 << 20 } },
    manifest: { nodeId: '0000000000000001' },
    log: silentLogger(),
    lanes: { links },
    topics: { adopt: async () => TOPIC },
    catalog: { get: () => undefined, record: async () => undefined },
    ports: ports as unknown as readonly ClusterPorts[],
    inUse: () => 0,
  };
  return { delays: new NodeDelays(parts as unknown as NodeDelaysParts), told };
}

test('delayed messages are taken when one cluster has a delay log and the other is away', async () => {
  const away = () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'away'));
  const { delays, told } = delaysOf([async () => {}, away]);
  assert.equal(delays.desk?.isOpen, false);
  await delays.open();
  assert.deepEqual(told, [TOPIC]);
  assert.equal(delays.desk?.isOpen, true);
  assert.deepEqual([delays.log(0), delays.log(1)], ['__mqproxy.delay', undefined]);
  assert.deepEqual(
    delays.reports().map(({ cluster }) => cluster),
    [0, 1],
  );
  const all = async () => (await delays.desk?.stats())?.unreachable?.join();
  await until(async () => (await all().catch(() => '')) === '1', { what: 'the first to be asked' });
  await delays.close();
});

test('one delay log that is refused refuses delayed messages, whichever was opened first', async () => {
  for (const isLate of [false, true]) {
    const weak = async (told: readonly number[]) => {
      if (isLate) await until(() => told.length > 0, { what: 'the first to be taken' });
      throw refused;
    };
    const { delays, told } = delaysOf([async () => {}, weak]);
    await delays.open();
    assert.equal(told.at(-1), 0, `told ${told}`);
    const asked = delays.desk?.cancel(Buffer.alloc(24)) ?? Promise.resolve();
    await assert.rejects(
      asked,
      /the backup cluster cannot be asked \(NOT_SUPPORTED: .*must be compact/,
    );
    await delays.close();
  }
});

test('a node without the role has no desk', () => {
  const { delays } = delaysOf([]);
  assert.deepEqual([delays.desk, delays.series, delays.reports()], [undefined, undefined, []]);
});
