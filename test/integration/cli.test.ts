import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('lines go in by produce and come out by tail, byte for byte', async () => {
  const server = await startServer();
  const topic = uniqueTopic('cli');
  const input = Buffer.concat([Buffer.from('a\r\n\nk:v\n'), Buffer.of(0xff, 10), Buffer.from('é')]);
  const words = ['produce', topic, ...at(server), '--partition', '0', '--header', 'h=1', '--json'];
  const sent = await runCli([...words, '--key-separator', ':'], input);
  assert.equal(sent.code, 0, sent.stderr);
  const answers = jsonLines(sent.stdout);
  assert.deepEqual(
    answers.map(({ n }) => n),
    [1, 2, 3, 4, 5],
  );
  for (const { id, ack, partition } of answers) {
    assert.match(String(id), /^[0-9a-z-]{1,64}$/);
    assert.deepEqual([ack, partition], ['stored', 0]);
  }
  const tail = ['tail', topic, ...at(server), '--from', 'beginning', '--count', '5'];
  const records = jsonLines((await runCli([...tail, '--json'])).stdout);
  assert.deepEqual(
    records.map(({ value, valueBase64 }) => value ?? { valueBase64 }),
    ['a', '', 'v', { valueBase64: '/w==' }, 'é'],
  );
  assert.deepEqual(
    records.map(({ key }) => key),
    [null, null, 'k', null, null],
  );
  assert.deepEqual(
    records.map(({ offset }) => offset),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(
    records.map(({ id }) => id),
    answers.map(({ id }) => id),
  );
  assert.deepEqual(records[0]?.['headers'], { h: '1' });
  assert.match((await runCli(tail)).stdout, /^a\n\nv\n/);
});

test('100,000 lines are answered, each in its place, and a line too long fails alone', async () => {
  const server = await startServer();
  const topic = uniqueTopic('cli');
  const lines = Array.from({ length: 100_000 }, (_, i) => `line ${i}`);
  const sent = await runCli(['produce', topic, ...at(server)], `${lines.join('\n')}\n`);
  assert.equal(sent.code, 0, sent.stderr);
  assert.equal(sent.stdout, '');
  assert.match(sent.stderr, /100,000 of 100,000 lines stored/);
  const tail = ['tail', topic, ...at(server), '--from', 'beginning', '--count', '100000'];
  const got = (await runCli(tail)).stdout.split('\n').slice(0, -1);
  assert.deepEqual(got.sort(), lines.sort());

  const long = `ok\n${'x'.repeat(3 * 2 ** 20)}\nok too\n`;
  const mixed = await runCli(['produce', topic, ...at(server), '--json'], long);
  assert.equal(mixed.code, 1);
  const answers = jsonLines(mixed.stdout);
  assert.deepEqual(
    answers.map(({ n, error }) => [n, error]),
    [
      [1, undefined],
      [2, 'MESSAGE_TOO_LARGE'],
      [3, undefined],
    ],
  );
});

test('topics are made, listed and described, and what is wrong is one line with a code', async () => {
  const server = await startServer();
  const made = await runCli([
    'topic',
    'create',
    'a.b',
    '--partitions',
    '3',
    ...at(server),
    '--json',
  ]);
  assert.equal(made.code, 0, made.stderr);
  assert.equal(JSON.parse(made.stdout).name, 'a.b');
  const again = await runCli(['topic', 'create', 'a.b', ...at(server)]);
  assert.deepEqual([again.code, again.stdout], [1, '']);
  assert.match(again.stderr, /^mqproxy: TOPIC_EXISTS: .*\n$/);
  const listed = jsonLines((await runCli(['topic', 'list', ...at(server), '--json'])).stdout);
  assert.deepEqual(listed, [{ name: 'a.b', partitions: 3 }]);
  const described = await runCli(['topic', 'describe', 'a.b', ...at(server), '--json']);
  assert.equal(JSON.parse(described.stdout).partitions.length, 3);
  const replicated = await runCli(['produce', 'a.b', ...at(server), '--ack', 'replicated'], 'x\n');
  assert.equal(replicated.code, 1);
  assert.match(replicated.stderr, /NOT_SUPPORTED/);
  const status = await runCli(['status', ...at(server), '--json']);
  assert.equal(JSON.parse(status.stdout).backend, 'embedded');
});

test('usage errors end with 2 and configuration errors with 78, both with the nearest name', async () => {
  const command = await runCli(['prodce']);
  assert.deepEqual([command.code, command.stdout], [2, '']);
  assert.match(command.stderr, /unknown command prodce \(did you mean produce\?\)/);
  const option = await runCli(['tail', 't', '--form', 'end']);
  assert.equal(option.code, 2);
  assert.match(option.stderr, /did you mean --from\?/);
  const word = await runCli(['status', 'orders']);
  assert.deepEqual([word.code, word.stdout], [2, '']);
  assert.match(word.stderr, /status takes options only/);
  const file = join(tempDir(), 'mqproxy.yaml');
  writeFileSync(file, 'kafka:\n  broker: [a:1]\n');
  for (const name of ['serve', 'check-config', 'doctor']) {
    const { code, stderr } = await runCli([name, '--config', file]);
    assert.equal(code, 78, name);
    assert.match(stderr, /kafka\.broker: unknown key \(did you mean kafka\.brokers\?\)/);
  }
});

test('check-config shows values with their origin, and no secret', async () => {
  const words = ['check-config', '--lanes', '2', '--kafka.sasl.password', 'hunter2'];
  const { code, stdout } = await runCli(words);
  assert.equal(code, 0);
  assert.match(stdout, /^lanes +2 +flag --lanes$/m);
  assert.match(stdout, /^kafka\.sasl\.password +\(hidden\) +flag/m);
  assert.match(stdout, /^limits\.idleTimeout +5m +default$/m);
  const json = await runCli([...words, '--json']);
  assert.doesNotMatch(stdout + json.stdout, /hunter2/);
});

test('MQPROXY_CONFIG names the file, unless --config does', async () => {
  const folder = tempDir();
  const files = ['one', 'two'].map((name, i) => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, `topics:\n  partitions: ${i + 1}\n`);
    return path;
  });
  const [one = '', two = ''] = files;
  const checked = async (...words: string[]) => {
    const env = { MQPROXY_CONFIG: one };
    return (await runCli(['check-config', ...words], '', undefined, env)).stdout;
  };
  assert.match(await checked(), /^topics\.partitions +1 +file .*one\.yaml$/m);
  assert.match(await checked('--config', two), /^topics\.partitions +2 +file .*two\.yaml$/m);
});

test('every command has a help, and the overview names them all', async () => {
  const overview = (await runCli(['--help'])).stdout;
  const names = [...overview.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name ?? '');
  for (const name of ['serve', 'produce', 'consume', 'delay', 'dlq', 'cluster', 'parked']) {
    assert.ok(names.includes(name), name);
  }
  for (const name of names) {
    const { code, stdout } = await runCli([name, '--help']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: mqproxy ${name}`));
  }
});
