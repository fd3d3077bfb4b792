import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { laneOf } from '../../src/server/handlers/hello.ts';
import { writeTopics } from '../support/data-dir.ts';
import { laneStates, metric } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { passing, until } from '../support/wait.ts';

/** Nobody listens there: what is stored waits. */
const kafkaBrokers = '127.0.0.1:1';
const topics = ['orders', 'payments'];

/** A build whose lane dies, before it takes what has come, once its folder holds such a file. */
const dying = () =>
  spoiltBuild({
    file: 'src/produce/lane-service.js',
    find: /wake\(\) \{/,
    replace: `wake() {
      const { existsSync } = process.getBuiltinModule('node:fs');
      if (existsSync(this.shell.options.folder + '/throws')) throw new TypeError('spoilt');
      const hog = [];
      while (existsSync(this.shell.options.folder + '/hogs')) hog.push(new Array(100_000).fill(1));`,
  });

/** The first producer id of a lane. */
const producerOf = (lane: number): bigint => {
  let id = 1n;
  while (laneOf(id, 2) !== lane) id++;
  return id;
};

const numbered = (count: number, word: string) => Array.from({ length: count }, (_, i) => word + i);

async function ready(server: TestServer): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://${server.admin.host}:${server.admin.port}/readyz`);
  return { status: response.status, text: await response.text() };
}

async function connect(server: TestServer, lane: number) {
  const client = await RawClient.connect(server.mqp, { producerId: producerOf(lane) });
  const opened = await Promise.all(topics.map((name) => client.open(name)));
  return { client, topic: opened[0]?.topicId ?? 0 };
}

for (const [death, said] of [
  ['throws', /INTERNAL: spoilt/],
  ['hogs', /ERR_WORKER_OUT_OF_MEMORY/],
] as const) {
  test(`a lane whose thread ${death} is out of service, its clients are told, others go on`, async () => {
    const dataDir = tempDir('mqproxy-data-');
    writeTopics(dataDir, topics);
    const server = await startServer({
      dataDir,
      backend: 'kafka',
      kafkaBrokers,
      args: ['--lanes', '2'],
      nodeArgs: ['--max-old-space-size=128'],
      entry: dying(),
    });
    const well = await connect(server, 0);
    const hit = await connect(server, 1);
    for (const { client, topic } of [well, hit]) {
      await client.produce({ topic, first: 1, values: numbered(50, 'before') });
    }
    writeFileSync(join(dataDir, 'lanes', '1', death), '');
    // A lane that still looks at what came before takes the next without being woken.
    let sent = 50;
    while (!hit.client.isClosed && sent < 1_000) {
      sent++;
      hit.client.send({ topic: hit.topic, first: sent, values: [`after${sent}`] });
      await passing(20);
    }
    assert.equal((await hit.client.untilClosed())?.code, ErrorCode.LANE_OUT);
    const names = [...hit.client.outcomes.values()].map(({ name }) => name);
    assert.deepEqual([...new Set(names)], ['OK']);
    assert(names.length < sent, 'the last were not answered');

    await assert.rejects(connect(server, 1), { code: ErrorCode.LANE_OUT });
    const { status, text } = await ready(server);
    assert.equal(status, 503);
    assert.match(text, /lane 1 is out of service, its thread ended .*start the node again/);
    assert.match(text, said);
    assert.match(server.stderr(), /^mqproxy: lane 1 is out of service: its thread ended: /m);
    assert.deepEqual(
      (await laneStates(server)).map(({ state }) => state),
      ['serving', 'out'],
    );
    assert.equal(await metric(server, 'mqproxy_lane_state{lane="1"}'), 2);

    const more = { topic: well.topic, first: 51, values: numbered(50, 'after') };
    assert((await well.client.produce(more)).every(({ name }) => name === 'OK'));
    await connect(server, 0);
    server.signal('SIGHUP');
    await until(() => /were read again/.test(server.stderr()), { what: 'the reload' });
    if (death === 'hogs') return;

    assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
    rmSync(join(dataDir, 'lanes', '1', death));
    await server.restart();
    assert.equal((await ready(server)).status, 200);
    const again = await connect(server, 1);
    const all = Array.from({ length: sent - 50 }, (_, i) => `after${i + 51}`);
    const outcomes = await again.client.produce({ topic: again.topic, first: 51, values: all });
    assert(outcomes.every(({ name }) => name === 'OK'));
    await server.kill();
    const { stdout } = await runCli(['outbox', 'export', '--data-dir', dataDir, '--json']);
    const values = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).value as string);
    const kept = values.filter((value) => value.startsWith('after'));
    // Lane 0 has had fifty of its own; of lane 1 each is there once, answered before or not.
    assert.equal(kept.length, 50 + all.length);
    assert.deepEqual(
      all.filter((value) => !kept.includes(value)),
      [],
    );
  });
}
