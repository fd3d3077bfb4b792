import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { encodeCreateTopic } from '../../protocol/src/topics.ts';
import { Authority } from '../support/certificates.ts';
import { Cores } from '../support/cores.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { RawClient, readAll } from '../support/raw-client.ts';
import { type ServerOptions, startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { GIVE_UP_MS, passing, until } from '../support/wait.ts';

const isCode = (code: number) => (error: unknown) => (error as { code: number }).code === code;

async function admin(server: TestServer, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://${server.admin.host}:${server.admin.port}${path}`);
  return { status: response.status, text: await response.text() };
}

/** A node whose next sync of the store can be made slow, so that what waits for it is in flight. */
async function startSlow(options: ServerOptions = {}) {
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const env = preloadEnv({ pathPrefix: dataDir, faults: disk.file });
  const server = await startServer({ ...options, dataDir, env });
  const slowSync = (does: number) => disk.set({ on: 'sync', does, path: '/store/' });
  return { server, slowSync };
}

function untilInFlight(server: TestServer, count: number): Promise<boolean> {
  const line = new RegExp(`^mqproxy_in_flight_messages ${count}$`, 'm');
  const taken = async () => line.test((await admin(server, '/metrics')).text);
  return until(taken, { what: `${count} messages in flight`, everyMs: 2 });
}

test('SIGTERM answers what is in flight, says so to all, and ends with 0', {
  skip: skipWithoutPreload(),
}, async () => {
  const { server, slowSync } = await startSlow();
  const topic = uniqueTopic('drain');
  const idle = await RawClient.connect(server.mqp);
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(topic);
  const values = Array.from({ length: 100 }, (_, i) => `v${i}`);
  slowSync(3_000);
  client.send({ topic: topicId, first: 1, values });
  await untilInFlight(server, 100);
  server.signal('SIGTERM');
  await idle.when(() => idle.goaway !== undefined, 'GOAWAY');
  assert.equal(idle.goaway?.reason, ErrorCode.DRAINING);
  const asked = admin(server, '/readyz');
  const late = await client.produce({ topic: topicId, first: 101, values: ['new'] });
  assert.deepEqual([late[0]?.name, (late[0]?.detail ?? 0) > 0], ['DRAINING', true]);
  const ready = await asked;
  assert.equal(ready.status, 503);
  assert.match(ready.text, /draining/);
  const outcomes = await client.answersTo(values.map((_, i) => i + 1));
  assert.deepEqual(
    outcomes.flatMap(({ name }, i) => (name === 'OK' ? [] : [`${i + 1} ${name}`])),
    [],
  );
  await client.untilClosed();
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  await server.restart();
  assert.equal((await readAll(server.mqp, topic)).length, values.length);
});

test('a client that goes on producing does not keep a node from ending', async () => {
  const server = await startServer();
  const client = await RawClient.connect(server.mqp);
  const { topicId: topic } = await client.open(uniqueTopic('stubborn'));
  let isOver = false;
  const sending = (async () => {
    for (let first = 1; !isOver && !client.isClosed; first++) {
      client.send({ topic, first, values: ['x'] });
      await passing(1);
    }
  })();
  await client.when(() => client.outcomes.size > 100, 'answers');
  const cores = new Cores();
  const began = performance.now();
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  isOver = true;
  await sending;
  const tookMs = Math.round(performance.now() - began);
  if (cores.wereThere(`drainMs=${tookMs}`))
    assert(tookMs < 5_000, 'the drain waited for its limit');
});

for (const [second, code] of [['SIGTERM', 143] as const, ['SIGINT', 130] as const]) {
  test(`a second signal, ${second}, ends a node at once whose disk hangs, and what it answered stays`, {
    skip: skipWithoutPreload(),
  }, async () => {
    const { server, slowSync } = await startSlow();
    const topic = uniqueTopic('twice');
    const client = await RawClient.connect(server.mqp);
    const { topicId } = await client.open(topic);
    await client.produce({ topic: topicId, first: 1, values: ['answered'] });
    // Longer than the test waits for the end: nothing of it may be waited for.
    slowSync(10 * GIVE_UP_MS);
    client.send({ topic: topicId, first: 2, values: ['under way'] });
    await untilInFlight(server, 1);
    server.signal('SIGTERM');
    await client.when(() => client.goaway !== undefined, 'GOAWAY');
    const cores = new Cores();
    const began = performance.now();
    assert.deepEqual(await server.kill(second), { code, signal: null });
    const tookMs = Math.round(performance.now() - began);
    if (cores.wereThere(`endMs=${tookMs}`)) assert(tookMs < 2_000);
    slowSync(0);
    await server.start();
    const [first] = await readAll(server.mqp, topic);
    assert.equal(first?.value.toString(), 'answered');
  });
}

test('a fault of the program ends a node at once whose disk hangs, with exit code 1', {
  skip: skipWithoutPreload(),
}, async () => {
  const fault = "process.on('SIGUSR2', () => { throw new TypeError('a fault'); });";
  const nodeArgs = ['--import', `data:text/javascript,${encodeURIComponent(fault)}`];
  const { server, slowSync } = await startSlow({ nodeArgs });
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(uniqueTopic('fault'));
  slowSync(10 * GIVE_UP_MS);
  client.send({ topic: topicId, first: 1, values: ['under way'] });
  await untilInFlight(server, 1);
  assert.deepEqual(await server.kill('SIGUSR2'), { code: 1, signal: null });
  assert.match(server.stderr(), /TypeError: a fault/);
});

const tokensOf = (token: string) => `tokens:
  - name: billing
    token: ${token}
    grants:
      - { prefix: orders., produce: true, consume: true, create: true }
      - { prefix: events., consume: true }
      - { prefix: audit., produce: true }
`;

test('tokens give rights by prefix, and SIGHUP replaces them', async () => {
  const tokensFile = join(tempDir(), 'tokens.yaml');
  writeFileSync(tokensFile, tokensOf('a-token-of-sixteen-1'));
  const args = ['--auth.mechanism', 'token', '--auth.tokens-file', tokensFile];
  const server = await startServer({ args });
  const failed = isCode(ErrorCode.AUTHENTICATION_FAILED);
  await assert.rejects(RawClient.connect(server.mqp), failed);
  await assert.rejects(RawClient.connect(server.mqp, { token: 'wrong' }), failed);

  const client = await RawClient.connect(server.mqp, { token: 'a-token-of-sixteen-1' });
  const refused = isCode(ErrorCode.NOT_AUTHORIZED);
  await assert.rejects(client.open('other.topic'), refused);
  const create = (name: string) => client.request((w, id) => encodeCreateTopic(w, id, { name }));
  await assert.rejects(create('events.new'), refused);
  await assert.rejects(create('audit.new'), refused);
  const orders = await client.open('orders.eu');
  const [good] = await client.produce({ topic: orders.topicId, first: 1, values: ['x'] });
  assert.equal(good?.name, 'OK');
  // Without the right to create, opening a topic that is not there makes none.
  await assert.rejects(client.open('audit.made'), isCode(ErrorCode.UNKNOWN_TOPIC));
  await assert.rejects(client.open('events.made'), isCode(ErrorCode.UNKNOWN_TOPIC));

  writeFileSync(tokensFile, `${tokensOf('b-token-of-sixteen-2')}${other}`);
  server.signal('SIGHUP');
  await until(
    async () => {
      const again = RawClient.connect(server.mqp, { token: 'a-token-of-sixteen-1' });
      return again.then(
        () => false,
        (error: unknown) => failed(error),
      );
    },
    { what: 'the old token to be refused' },
  );
  await RawClient.connect(server.mqp, { token: 'b-token-of-sixteen-2' });
  const maker = await RawClient.connect(server.mqp, { token: 'the-maker-of-topics-3' });
  for (const name of ['events.made', 'audit.made']) {
    await maker.request((w, id) => encodeCreateTopic(w, id, { name }));
  }
  const events = await client.open('events.made');
  const [no] = await client.produce({ topic: events.topicId, first: 2, values: ['x'] });
  assert.equal(no?.name, 'NOT_AUTHORIZED');
  const audit = await client.open('audit.made');
  const [yes] = await client.produce({ topic: audit.topicId, first: 3, values: ['x'] });
  assert.equal(yes?.name, 'OK');
  await assert.rejects(client.tail(audit.topicId, 0), refused);
  await client.tail(events.topicId, 0);
});

const other = `  - name: maker
    token: the-maker-of-topics-3
    grants:
      - { prefix: '', create: true, produce: true }
`;

test('SIGHUP changes the log level, and a bad file changes nothing', async () => {
  const file = join(tempDir(), 'mqproxy.yaml');
  writeFileSync(file, 'logLevel: warn\n');
  const server = await startServer({ args: ['--config', file] });
  const violate = async () => {
    const client = await RawClient.bare(server.mqp);
    client.socket.write(Buffer.from([0, 0, 0, 0]));
    await client.untilClosed();
  };
  await violate();
  assert.doesNotMatch(server.stderr(), /connection refused/);
  writeFileSync(file, 'logLevel: info\n');
  server.signal('SIGHUP');
  await until(() => /were read again/.test(server.stderr()), { what: 'the reload' });
  await violate();
  await until(() => /connection refused/.test(server.stderr()), { what: 'the refusal in the log' });
  writeFileSync(file, 'logLevel: nonsense\n');
  server.signal('SIGHUP');
  await until(() => /not reloaded: .*logLevel/.test(server.stderr()), { what: 'words about it' });
  await (await RawClient.connect(server.mqp)).ping();
});

test('SIGHUP opens no node that asks for tokens, and names what waits for a restart', async () => {
  const folder = tempDir();
  const file = join(folder, 'mqproxy.yaml');
  const tokensFile = join(folder, 'tokens.yaml');
  writeFileSync(tokensFile, 'tokens: []');
  writeFileSync(file, `auth: { mechanism: token, tokensFile: ${tokensFile} }`);
  const server = await startServer({ args: ['--config', file] });
  const { cert, key } = new Authority().issue('localhost', 'DNS:localhost');
  const tls = `tls: { cert: ${cert}, key: ${key} }`;
  writeFileSync(file, `auth: { mechanism: none, tokensFile: ${tokensFile} }\n${tls}\n`);
  server.signal('SIGHUP');
  const named = /"settings":\["tls.cert","tls.key","auth.mechanism"\].*wait for a restart/;
  await until(() => named.test(server.stderr()), { what: 'what waits' });
  await assert.rejects(RawClient.connect(server.mqp), { code: ErrorCode.AUTHENTICATION_FAILED });
});

test('SIGHUP reads no file that the configuration no longer names', async () => {
  const folder = tempDir();
  const file = join(folder, 'mqproxy.yaml');
  const tokensFile = join(folder, 'tokens.yaml');
  const authority = new Authority();
  const { cert, key } = authority.issue('localhost', 'DNS:localhost');
  writeFileSync(tokensFile, 'tokens: []');
  const auth = `auth: { mechanism: token, tokensFile: ${tokensFile} }`;
  writeFileSync(file, `${auth}\ntls: { cert: ${cert}, key: ${key} }\n`);
  const server = await startServer({ args: ['--config', file] });
  for (const gone of [tokensFile, cert, key]) rmSync(gone);
  writeFileSync(file, 'logLevel: debug\n');
  server.signal('SIGHUP');
  await until(() => /were read again|not reloaded/.test(server.stderr()), { what: 'a word' });
  assert.doesNotMatch(server.stderr(), /not reloaded/);
  const tls = { ca: readFileSync(authority.cert), servername: 'localhost' };
  const refused = { code: ErrorCode.AUTHENTICATION_FAILED };
  await assert.rejects(RawClient.connect(server.mqp, {}, tls), refused);
});

test('TLS is served, and plain bytes on its port are not', async () => {
  const authority = new Authority();
  const { cert, key } = authority.issue('localhost', 'DNS:localhost');
  const server = await startServer({ args: ['--tls.cert', cert, '--tls.key', key] });
  const tls = { ca: readFileSync(authority.cert), servername: 'localhost' };
  const client = await RawClient.connect(server.mqp, {}, tls);
  const { topicId: topic } = await client.open(uniqueTopic('tls'));
  const values = Array.from({ length: 3_000 }, (_, i) => `secret ${i}`);
  const outcomes = await client.produce({ topic, first: 1, values });
  assert(outcomes.every(({ code }) => code === 0));
  const plain = await RawClient.bare(server.mqp);
  plain.ignoreAnswers();
  plain.socket.write('GET / HTTP/1.1\r\n\r\n');
  await plain.untilClosed();
  const silent = await RawClient.bare(server.mqp);
  await silent.untilClosed();
  await client.ping();
});

test('listening beyond the loopback without a token is warned of once', async () => {
  const open = await startServer({ listenHost: '0.0.0.0' });
  const warnings = open.stderr().match(/anybody who reaches/g) ?? [];
  assert.equal(warnings.length, 1);
  const closed = await startServer();
  assert.doesNotMatch(closed.stderr(), /anybody who reaches/);
});

test('stdout is one line, which says what an answer is worth', async () => {
  const what = { embedded: 'refused, there are no replicas', kafka: 'acks=all by the cluster' };
  for (const backend of ['embedded', 'kafka'] as const) {
    const kafka = backend === 'kafka' ? { kafkaBrokers: '127.0.0.1:1' } : {};
    const server = await startServer({ backend, ...kafka });
    const client = await RawClient.connect(server.mqp);
    await client.ping();
    await server.kill('SIGTERM');
    const { mqp, admin: port, dataDir } = server;
    const at = `mqp=${mqp.host}:${mqp.port} admin=${port.host}:${port.port}`;
    const brokers = backend === 'kafka' ? ' kafka=127.0.0.1:1' : '';
    const { nodeId } = JSON.parse(readFileSync(join(dataDir, 'node.json'), 'utf8'));
    assert.equal(
      server.stdout(),
      `mqproxy ready ${at} backend=${backend}${brokers} data=${dataDir} node=${nodeId} ` +
        `stored="fsynced on this node's disk" replicated="${what[backend]}"\n`,
    );
  }
});

test('health, readiness and metrics are on the admin port', async () => {
  const server = await startServer();
  const client = await RawClient.connect(server.mqp);
  const { topicId: topic } = await client.open('orders');
  await client.produce({ topic, first: 1, values: ['x'] });
  assert.equal((await admin(server, '/healthz')).status, 200);
  const ready = await admin(server, '/readyz');
  assert.equal(ready.status, 200);
  assert.equal((JSON.parse(ready.text) as { state: string }).state, 'ok');
  const { text } = await admin(server, '/metrics');
  assert.match(text, /^mqproxy_messages_stored_total\{lane="0"\} 1$/m);
  // That docs/operating.md lists each of them is shown in test/docs.
});
