import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { lettersOf, metricsOf, of } from '../support/dead-letters.ts';
import { consumeAll, shortFrames, tailAll } from '../support/long-records.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const one = { partitions: 1 };

test('a node of short frames serves and delivers what fits them, however much is asked for', async () => {
  const client = await connect(await startServer({ args: shortFrames }));
  await client.createTopic(of.topic, one);
  const value = Buffer.alloc(20_000);
  const sent = Array.from({ length: 100 }, () => client.produce(of.topic, { value }));
  await Promise.all(sent);
  const all = Array.from({ length: 100 }, () => '20000');
  assert.deepEqual(await tailAll(client, of.topic, 100), all);
  assert.equal((await consumeAll(client, of.topic, 100)).length, 100);
});

test('what a node took before its frames were made shorter is named, and goes to the dead letters', async () => {
  const server = await startServer();
  const before = await connect(server);
  await before.createTopic(of.topic, one);
  for (const length of [1, 70_000, 2, 900_000, 3]) {
    await before.produce(of.topic, { value: Buffer.alloc(length) });
  }
  await before.close();
  await server.restart({ args: shortFrames });
  const client = await connect(server);
  const named = ['1', 'offset 1', '2', 'offset 3', '3'];
  assert.deepEqual(await tailAll(client, of.topic, 5), named);
  assert.deepEqual(await consumeAll(client, of.topic, 3), [0, 2, 4]);
  const moved = /mqproxy_dead_letters_total\{cause="dead"\} 2/;
  await until(async () => moved.test(await metricsOf(server)), { what: 'the dead letters' });
  // Whichever was read again first.
  const letters = (await lettersOf(client)).toSorted((a, b) => a.origin.offset - b.origin.offset);
  assert.deepEqual(
    letters.map(({ origin, valueBytes, value }) => [origin.offset, valueBytes, value]),
    [
      [1, 70_000, undefined],
      [3, 900_000, undefined],
    ],
  );
  assert.match(letters[0]?.reason ?? '', /a record of 7\d+ bytes fits no frame/);
  await client.close();
  await server.restart();
  const [first] = await lettersOf(await connect(server));
  assert.ok([70_000, 900_000].includes(first?.value?.length ?? 0));
});
