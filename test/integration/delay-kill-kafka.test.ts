import { test } from 'node:test';
import { connectDelay } from '../support/connect.ts';
import { DelayKills } from '../support/delay-kills.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const pending = countOf('MQP_DELAYS', 200_000);
/** After each the group misses its member for six seconds. */
const cycles = countOf('MQP_DELAY_KILLS', isLong ? 30 : 5);

test('kills -9 and a deleted index lose no delay on Kafka, fire none early, and none that was cancelled', {
  skip: skipWithoutKafka() || skipWithoutPreload(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const clock = new WallClock(tempDir());
  const env = preloadEnv({ clock: clock.file });
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address, env });
  const topic = uniqueTopic('kill');
  const client = await connectDelay(server);
  // The time of a record is that of the node, whose clock is the one that counts.
  await client.createTopic(topic, { partitions: 1 });
  await client.close();
  const kills = new DelayKills({ server, clock, topic, pending, cycles });
  await kills.run();
  const records = await readTopic(broker.address, topic, { timeoutMs: 240_000 });
  kills.check(
    records.map(({ mq, value, timestampMs }) => ({
      id: mq?.id ?? '',
      value: `${value}`,
      timestampMs,
    })),
  );
});
