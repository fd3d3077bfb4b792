import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { limits } from '../../src/base/limits.ts';
import { laneOf } from '../../src/server/handlers/hello.ts';
import { Authority } from '../support/certificates.ts';
import { writeTopics } from '../support/data-dir.ts';
import { framesOf, RawClient } from '../support/raw-client.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const start = (...args: string[]) => startServer({ args });
const addressOf = ({ mqp }: TestServer) => `${mqp.host}:${mqp.port}`;

function rssMib(node: TestServer): number {
  const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
}

async function metric(node: TestServer, name: string): Promise<number> {
  const text = await (await fetch(`http://${node.admin.host}:${node.admin.port}/metrics`)).text();
  const line = text
    .split('\n')
    .find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  return Number(line?.split(' ').at(-1));
}

test('who does not say HELLO in time is told and closed', async () => {
  const server = await start('--limits.handshake-timeout', '2s');
  const good = await RawClient.connect(server.mqp);
  const silent = await RawClient.bare(server.mqp);
  const slow = await RawClient.bare(server.mqp);
  slow.socket.write(Buffer.from([0, 0, 0, 38, 1]));
  // They came later: when they are told, the time of who said HELLO is over too.
  for (const late of [silent, slow])
    assert.equal((await late.untilClosed())?.code, ErrorCode.HANDSHAKE_TIMEOUT);
  await good.ping();
});

test('a peer that is told to go and does not is one violation, not two', async () => {
  const server = await start('--limits.handshake-timeout', '1s');
  const { host, port } = server.mqp;
  const stubborn = connect({ host, port, allowHalfOpen: true });
  stubborn.on('error', () => {});
  await once(stubborn, 'connect');
  stubborn.resume().write(Buffer.from([0, 0, 0, 0]));
  await until(() => /connection refused/.test(server.stderr()), { what: 'the refusal' });
  // It is cut off after two seconds, in which the time for its HELLO runs out.
  const isGone = async () => (await metric(server, 'mqproxy_connections')) === 0;
  await until(isGone, { what: 'the node to cut it off' });
  stubborn.destroy();
  assert.equal(await metric(server, 'mqproxy_connections_violated_total'), 1);
  assert.equal(server.stderr().match(/connection refused/g)?.length, 1);
});

test('a silent connection is closed, one that pings or waits for an answer is not', async () => {
  const server = await start('--limits.idle-timeout', '3s');
  const silent = await RawClient.connect(server.mqp);
  const pinging = await RawClient.connect(server.mqp);
  // Long after the silent one is closed it would be too.
  for (const endMs = performance.now() + 6_000; performance.now() < endMs; ) {
    await passing(100);
    await pinging.ping();
  }
  assert.equal((await silent.untilClosed())?.code, ErrorCode.IDLE_TIMEOUT);
  assert.equal(pinging.isClosed, false);
  await pinging.ping();
});

test('one connection too many is told so, and one that leaves makes room', async () => {
  const server = await start('--limits.connections', '3');
  const three = await Promise.all([1, 2, 3].map(() => RawClient.connect(server.mqp)));
  const fourth = await RawClient.bare(server.mqp);
  assert.equal((await fourth.untilClosed())?.code, ErrorCode.TOO_MANY_CONNECTIONS);
  three[0]?.socket.destroy();
  await until(
    async () => {
      const next = await RawClient.connect(server.mqp).catch(() => undefined);
      return next !== undefined;
    },
    { what: 'room for another connection' },
  );
});

test('with TLS connections count from the first byte on, not from the end of their handshake', async () => {
  const authority = new Authority();
  const { cert, key } = authority.issue('localhost', 'DNS:localhost');
  const tls = ['--tls.cert', cert, '--tls.key', key];
  const server = await start(
    '--limits.connections',
    '3',
    '--limits.handshake-timeout',
    '1h',
    ...tls,
  );
  const good = { ca: readFileSync(authority.cert), servername: 'localhost' };
  const one = await RawClient.connect(server.mqp, {}, good);
  const silent = [await RawClient.bare(server.mqp), await RawClient.bare(server.mqp)];
  const third = await RawClient.bare(server.mqp);
  await third.untilClosed();
  const isTold = () => /"message":"this node is full"/.test(server.stderr());
  await until(isTold, { what: 'the line about it' });
  await one.ping();
  assert(silent.every(({ isClosed }) => !isClosed));
  for (const { socket } of silent) socket.destroy();
  const again = () => RawClient.connect(server.mqp, {}, good).catch(() => undefined);
  await until(async () => (await again()) !== undefined, { what: 'room for another connection' });
});

test('the largest message goes through the smallest ring that is allowed', async () => {
  const args = ['--lane.ring-bytes', '1MiB', '--limits.frame-bytes-max', '512KiB'];
  const server = await start(...args, '--limits.message-bytes-max', '500000');
  const client = await RawClient.connect(server.mqp);
  const { topicId: topic } = await client.open(uniqueTopic('ring'));
  const small = Array.from({ length: 200 }, () => Buffer.alloc(1_000));
  const large = Buffer.alloc(499_000, 'l');
  for (let round = 0; round < 5; round++) {
    const first = 1 + round * 202;
    const outcomes = await client.produce({ topic, first, values: [...small, large, large] });
    assert(outcomes.every(({ code }) => code === 0));
  }
});

test('a client that never reads costs bounded memory, and others are served', async () => {
  const server = await start();
  const topic = uniqueTopic('unread');
  const good = await RawClient.connect(server.mqp);
  const { topicId } = await good.open(topic);
  const values = Array.from({ length: 60 }, () => Buffer.alloc(16_000, 'x'));
  await good.produce({ topic: topicId, first: 1, values, partition: 0 });
  const before = rssMib(server);
  for (let i = 0; i < 4; i++) {
    const greedy = await RawClient.connect(server.mqp);
    const { topicId: id } = await greedy.open(topic);
    greedy.socket.pause();
    // Each asks for a megabyte a thousand times, and looks at none of it.
    const ask = Buffer.alloc(33);
    ask.writeUInt32BE(29, 0);
    ask[4] = 0x30;
    ask.writeUInt16BE(id, 6);
    ask.writeUInt32BE(1 << 20, 12 + 4 + 1 + 8);
    greedy.socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => ask)));
  }
  for (let n = 0; n < 200; n++) {
    const [outcome] = await good.produce({ topic: topicId, first: 61 + n, values: ['well'] });
    assert.equal(outcome?.name, 'OK');
    await passing(5);
  }
  const after = rssMib(server);
  console.log(`rss before=${before} MiB after=${after} MiB`);
  assert(after < before + 160, `the node grew from ${before} to ${after} MiB`);
});

/** The first producer id of this lane of two. */
const producerOf = (lane: number): bigint =>
  [101n, 102n, 103n, 104n, 105n].find((id) => laneOf(id, 2) === lane) ?? 0n;

test('at the soft mark of a lane RETRY_LATER, at its hard mark no reads, the other lane goes on, and room heals', async () => {
  // Kafka is away, so everything waits; the marks are raised as a drain would lower the depth.
  const dataDir = tempDir('mqproxy-data-');
  const topic = 'orders';
  writeTopics(dataDir, [topic]);
  const configFile = `${tempDir()}/mqproxy.yaml`;
  const mark = (soft: string, hard: string, freeBytesMin = '1MiB') => {
    const marks = `{ bytesMax: ${soft}, hardBytesMax: ${hard}, freeBytesMin: ${freeBytesMin} }`;
    writeFileSync(configFile, `outbox: ${marks}\n`);
  };
  mark('1MiB', '3MiB');
  const server = await startServer({
    dataDir,
    backend: 'kafka',
    kafkaBrokers: '127.0.0.1:1',
    args: ['--config', configFile, '--lanes', '2'],
  });
  const client = await RawClient.connect(server.mqp, { producerId: producerOf(0) });
  const { topicId } = await client.open(topic);
  const neighbour = await RawClient.connect(server.mqp, { producerId: producerOf(1) });
  const { topicId: neighboursId } = await neighbour.open(topic);
  let others = 0;
  const neighbourHears = async (name: string): Promise<void> => {
    const run = { topic: neighboursId, first: ++others, values: ['beside'] };
    const [outcome] = await neighbour.produce(run);
    assert.equal(outcome?.name, name);
    if (name !== 'OK') others--;
  };
  const values = Array.from({ length: 50 }, () => Buffer.alloc(10_000));
  let first = 1;
  let refused: { name: string; detail: number } | undefined;
  for (let round = 0; round < 40 && refused === undefined; round++) {
    const outcomes = await client.produce({ topic: topicId, first, values });
    refused = outcomes.find(({ code }) => code !== 0);
    if (refused === undefined) first += values.length;
    else first += outcomes.findIndex(({ code }) => code !== 0);
    await passing(100);
  }
  assert.equal(refused?.name, 'RETRY_LATER');
  assert((refused?.detail ?? 0) > 0);
  assert.equal((await ready(server)).status, 200, 'a soft mark does not take a node out');
  await neighbourHears('OK');

  mark('1MiB', '1100KiB');
  server.signal('SIGHUP');
  await until(async () => (await ready(server)).status === 503, { what: 'the hard mark' });
  client.socket.write(framesOf({ topic: topicId, first, values: ['held'] }));
  client.outcomes.clear();
  for (const endMs = performance.now() + 600; performance.now() < endMs; ) {
    await neighbourHears('OK');
    await passing(50);
  }
  assert.equal(client.outcomes.size, 0, 'something was read at the hard mark');

  mark('64MiB', '128MiB');
  server.signal('SIGHUP');
  await client.answersTo([first]);
  assert.equal(client.outcomes.get(first)?.name, 'OK');
  assert.equal((await ready(server)).status, 200);

  // However little is free, an outbox is sent and gets smaller: never more than the soft mark.
  const free = await metric(server, 'mqproxy_disk_free_bytes');
  mark('64MiB', '128MiB', String(Math.round(free * 4)));
  server.signal('SIGHUP');
  const isSoft = async () => (await metric(server, 'mqproxy_outbox_pressure')) === 1;
  await until(isSoft, { what: 'the soft mark by free space' });
  await neighbourHears('RETRY_LATER');
  assert.equal((await ready(server)).status, 200);
  mark('64MiB', '128MiB');
  server.signal('SIGHUP');
  await until(async () => !(await isSoft()), { what: 'enough free space' });
  await neighbourHears('OK');
});

test('too little free space is the soft mark, half of it the hard one, and who reads goes on at both', async () => {
  const configFile = `${tempDir()}/mqproxy.yaml`;
  const leave = (bytes: number) =>
    writeFileSync(configFile, `outbox: { freeBytesMin: ${Math.round(bytes)} }\n`);
  leave(1);
  const server = await start('--config', configFile);
  const topic = uniqueTopic('marks');
  const producer = await RawClient.connect(server.mqp);
  const { topicId } = await producer.open(topic);
  const values = Array.from({ length: 40 }, (_, n) => `v${n}`);
  await producer.produce({ topic: topicId, first: 1, values, partition: 0 });
  const consumer = await RawConsumer.open(server.mqp, { group: 'g', topics: [topic] });
  const reader = await RawClient.connect(server.mqp);
  const { topicId: readId } = await reader.open(topic);
  /** Ten messages are consumed and acked, and all are read by TAIL. */
  const readersGoOn = async (): Promise<void> => {
    await consumer.credit(10);
    const taken = await consumer.take(10);
    await consumer.credit(0);
    assert.deepEqual(await consumer.ack(taken, true), []);
    assert.equal((await reader.tail(readId, 0)).records.length, values.length);
  };
  const pressure = (wanted: number) =>
    until(async () => (await metric(server, 'mqproxy_outbox_pressure')) === wanted, {
      what: `pressure ${wanted}`,
    });
  const free = await metric(server, 'mqproxy_disk_free_bytes');
  await readersGoOn();
  leave(free * 1.4);
  server.signal('SIGHUP');
  await pressure(1);
  const [refused] = await producer.produce({ topic: topicId, first: 41, values: ['w'] });
  assert.equal(refused?.name, 'RETRY_LATER');
  assert.equal((await ready(server)).status, 200);
  await readersGoOn();
  leave(free * 4);
  server.signal('SIGHUP');
  await pressure(2);
  assert.equal((await ready(server)).status, 503);
  producer.outcomes.clear();
  producer.send({ topic: topicId, first: 41, values: ['w'] });
  await readersGoOn();
  await passing(300);
  assert.equal(producer.outcomes.size, 0, 'who sends messages is not read at the hard mark');
  leave(1);
  server.signal('SIGHUP');
  assert.deepEqual(
    (await producer.answersTo([41])).map(({ name }) => name),
    ['OK'],
  );
  await readersGoOn();
});

async function ready(server: TestServer): Promise<{ status: number }> {
  return fetch(`http://${server.admin.host}:${server.admin.port}/readyz`);
}

test('the sdk sends more than the limits in flight without an error', async () => {
  const server = await start('--limits.in-flight-messages-max', '64');
  const client = await MqpClient.connect({ servers: [addressOf(server)] });
  const topic = uniqueTopic('flight');
  const all = Array.from({ length: 2_000 }, (_, i) => client.produce(topic, { value: `v${i}` }));
  assert.equal((await Promise.all(all)).length, 2_000);
  await client.close();
  assert.equal(await metric(server, 'mqproxy_in_flight_messages'), 0);
});

test('more committed acks in one go than may wait for their answers are all answered', async () => {
  const server = await start();
  const topic = uniqueTopic();
  const producer = await RawClient.connect(server.mqp);
  const { topicId } = await producer.open(topic);
  await producer.produce({ topic: topicId, first: 1, values: ['one'] });
  const consumer = await RawConsumer.open(server.mqp, { group: 'g', topics: [topic] });
  const got = await consumer.take(1);
  const many = 2 * limits.settlesPerConnectionMax + 7;
  const answers = await Promise.all(Array.from({ length: many }, () => consumer.ack(got, true)));
  assert.equal(answers.flat().length, 0);
  await consumer.client.ping();
});
