import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GroupLog } from '../support/group-log.ts';
import { skipWithoutKafka } from '../support/kafka.ts';
import { kafkaCluster } from '../support/kafka-cluster.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const timeoutMs = 60_000;

describe('what a group has committed', { skip: skipWithoutKafka() }, () => {
  // librdkafka's own question for it ended the process once the coordinator was back.
  test('is asked for while its coordinator is away, and told once it is back', async () => {
    const { proxy, address } = await startProxiedKafka();
    const { topics, consumers } = kafkaCluster(address);
    const [topic, group] = [uniqueTopic('away'), uniqueTopic('g')];
    await topics.create({ name: topic, partitions: 2, replicationFactor: 1 });
    const log = new GroupLog();
    const member = consumers.join(log.options(group, [topic]));
    await log.has(2, timeoutMs);
    const places = [0, 1].map((partition) => ({ topic, partition }));
    await member.commit([{ topic, partition: 1, offset: 7, metadata: 'kept' }]);
    await proxy.setMode('refuse');
    const asked = await Promise.allSettled([1, 2].map(() => member.committed(places)));
    assert.deepEqual(
      asked.map((one) => one.status === 'rejected' && one.reason.code),
      ['BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE'],
    );
    await proxy.setMode('pass');
    let found: (readonly [number | undefined, string])[] = [];
    const ask = async () => {
      found = (await member.committed(places)).map((one) => [one.offset, one.metadata] as const);
      return true;
    };
    await until(() => ask().catch(() => false), { timeoutMs, what: 'what was committed' });
    assert.deepEqual(found, [
      [undefined, ''],
      [7, 'kept'],
    ]);
    await member.close();
  });
});
