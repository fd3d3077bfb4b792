import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GroupMemberDescription } from '../../../src/backend/consumer-port.ts';
import { coded } from '../../../src/base/errors.ts';
import { DelayOwners } from '../../../src/delay/delay-owners.ts';
import { JumpClock } from './delay-world.ts';

type Members = readonly Pick<GroupMemberDescription, 'clientId' | 'partitions'>[];

class Cluster {
  readonly clock = new JumpClock();
  asked = 0;
  members: Members | 'silent' | 'away' = [];
  readonly owners = new DelayOwners({
    clock: this.clock,
    group: 'g',
    topic: 't',
    consumers: { groupMembers: () => this.#groupMembers() },
  });

  async #groupMembers() {
    this.asked++;
    if (this.members === 'silent') return new Promise<never>(() => {});
    if (this.members === 'away') throw coded('BACKEND_UNAVAILABLE', 'away');
    return new Map([['g', this.members as readonly GroupMemberDescription[]]]);
  }
}

const has = (clientId: string, partition: number, topic = 't') => ({
  clientId,
  partitions: [{ topic, partition }],
});

test('the member that has the partition is named, and read once a second', async () => {
  const cluster = new Cluster();
  const { owners, clock } = cluster;
  cluster.members = [has('a', 1), has('b', 2), has('c', 3, 'other'), has('x'.repeat(500), 4)];
  const all = await Promise.all([1, 2, 3, 4].map((partition) => owners.find(partition)));
  assert.deepEqual(all, ['a', 'b', undefined, 'x'.repeat(64)]);
  assert.equal(cluster.asked, 1);
  cluster.members = [has('b', 1)];
  clock.jump(999);
  assert.equal(await owners.find(1), 'a');
  clock.jump(1);
  assert.equal(await owners.find(1), 'b');
  assert.equal(cluster.asked, 2);
});

test('a cluster that is silent or away leaves the owner without a name, within a second', async () => {
  const cluster = new Cluster();
  cluster.members = 'away';
  assert.equal(await cluster.owners.find(1), undefined);
  cluster.clock.jump(1_000);
  cluster.members = 'silent';
  const found = cluster.owners.find(1);
  cluster.clock.jump(1_000);
  cluster.clock.fire();
  assert.equal(await found, undefined);
});
