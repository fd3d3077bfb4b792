import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsumerBackend } from '../../../src/backend/consumer-port.ts';
import { coded } from '../../../src/base/errors.ts';
import { GroupAdmin } from '../../../src/consume/group-admin.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from './engine-doubles.ts';

const place = { topic: 't', partition: 0, offset: 3, metadata: '' };
const standing = { ...place, startOffset: 0, endOffset: 5, lag: 2 };

function backendOf(cluster: 0 | 1, isAway: boolean): ConsumerBackend {
  const answer = <T>(value: T): Promise<T> =>
    isAway ? Promise.reject(coded('BACKEND_UNAVAILABLE', 'away')) : Promise.resolve(value);
  return {
    cluster,
    listGroups: () => answer([{ group: `of-${cluster}`, state: 'stable' }]),
    describeGroup: (group: string) =>
      answer({ group, state: 'stable', members: [], partitions: [standing] }),
  } as unknown as ConsumerBackend;
}

function adminOf(...backends: ConsumerBackend[]): GroupAdmin {
  const { engine, clock, pauses } = new EngineUnderTest(new MemoryCluster());
  return new GroupAdmin({ engine, backends, clock, pauses });
}

test('both clusters are told of, and one that is away is named', async () => {
  const both = adminOf(backendOf(0, false), backendOf(1, false));
  const whole = await both.describe('g');
  assert.deepEqual(
    whole.partitions.map(({ cluster, floor, lag }) => [cluster, floor, lag]),
    [
      [0, 3, 2],
      [1, 3, 2],
    ],
  );
  assert.equal(whole.unreachable, undefined);
  const half = adminOf(backendOf(0, true), backendOf(1, false));
  const found = await half.describe('g');
  assert.deepEqual(found.unreachable, [0]);
  assert.deepEqual(
    found.partitions.map(({ cluster }) => cluster),
    [1],
  );
  assert.deepEqual(
    (await half.list('', '')).groups.map(({ group }) => group),
    ['of-1'],
  );
});

test('with every cluster away nothing is told', async () => {
  const away = { code: 'BACKEND_UNAVAILABLE' };
  for (const admin of [
    adminOf(backendOf(0, true)),
    adminOf(backendOf(0, true), backendOf(1, true)),
  ]) {
    await assert.rejects(admin.describe('g'), away);
    await assert.rejects(admin.list('', ''), away);
  }
});
