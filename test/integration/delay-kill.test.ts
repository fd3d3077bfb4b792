import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { DelayKills } from '../support/delay-kills.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { readAll } from '../support/read-all.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const pending = countOf('MQP_DELAYS', isLong ? 200_000 : 10_000);
const cycles = countOf('MQP_DELAY_KILLS', isLong ? 30 : 5);

test('kills -9 and a deleted index lose no delay, fire none early, and none that was cancelled', {
  skip: skipWithoutPreload(),
}, async () => {
  const clock = new WallClock(tempDir());
  const server = await startServer({ env: preloadEnv({ clock: clock.file }) });
  const topic = uniqueTopic('kill');
  const client = await connect(server);
  await client.createTopic(topic, { partitions: 1 });
  const kills = new DelayKills({ server, clock, topic, pending, cycles });
  await kills.run();
  kills.check(await readAll(client, topic));
  await client.close();
});
