import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitOf } from '../support/child.ts';
import { connect } from '../support/connect.ts';
import { repoRoot } from '../support/repo.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { within } from '../support/wait.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

test('tail begins at an offset, at a time, at the beginning, and refuses the rest', async () => {
  const server = await startServer();
  const topic = uniqueTopic('from');
  const one = ['--partition', '1'];
  const sent = await runCli(['produce', topic, ...at(server), ...one], 'a\nb\nc\nd\n');
  assert.equal(sent.code, 0, sent.stderr);
  const tail = (...more: string[]) => runCli(['tail', topic, ...at(server), ...more]);
  const all = await tail(...one, '--from', 'beginning', '--count', '4', '--json');
  const times = all.stdout
    .trimEnd()
    .split('\n')
    .map((line) => String((JSON.parse(line) as { timestamp: string }).timestamp));
  assert.equal(times.length, 4);
  for (const [from, words] of [
    ['2', 'c\n'],
    ['3', 'd\n'],
    [times[0] ?? '', 'a\n'],
    ['2001-02-03', 'a\n'],
  ] as const) {
    const { code, stdout, stderr } = await tail(...one, '--from', from, '--count', '1');
    assert.deepEqual([code, stdout, from], [0, words, from], stderr);
  }
  const beyond = await tail(...one, '--from', '5', '--count', '1');
  assert.equal(beyond.code, 1);
  assert.match(beyond.stderr, /OFFSET_OUT_OF_RANGE: offset 5 of .*, partition 1 .* 0 to 4/);
  const nowhere = await tail('--from', '2', '--count', '1');
  assert.equal(nowhere.code, 1);
  assert.ok(nowhere.stderr.includes(`within one partition, and ${topic} has 4 partitions`));
  for (const from of ['yesterday', '-1', '2001-99-99', '']) {
    const refused = await tail('--from', from);
    assert.deepEqual([refused.code, refused.stdout], [2, ''], from);
    assert.match(refused.stderr, /is not beginning, end, an offset or a time/);
  }
});

test('tail never makes a topic, not even beside one who sends to it', async () => {
  const server = await startServer();
  const topic = uniqueTopic('mistyped');
  const tail = () => runCli(['tail', topic, ...at(server), '--from', 'beginning', '--count', '1']);
  const refused = await tail();
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /UNKNOWN_TOPIC: there is no topic mistyped-/);
  const list = await runCli(['topic', 'list', ...at(server)]);
  assert.doesNotMatch(list.stdout, /mistyped/);
  const client = await connect(server);
  // One client, one name, two kinds of asking: each gets its own answer.
  const read = client.tail(topic, { from: 'beginning' }).next();
  const sent = client.produce(topic, { value: 'a' });
  await Promise.allSettled([read, sent]);
  assert.match((await sent).id, /-1$/);
  await client.close();
  assert.deepEqual((await tail()).stdout, 'a\n');
});

test('tail from the end prints what comes, and nothing that was there', async () => {
  const server = await startServer();
  const topic = uniqueTopic('end');
  const send = (text: string) => runCli(['produce', topic, ...at(server)], text);
  await send('old\n');
  const program = join(repoRoot, 'bin', 'mqproxy.js');
  const words = [program, 'tail', topic, ...at(server), '--count', '1'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  let isOver = false;
  const ended = exitOf(child).then(({ code }) => {
    isOver = true;
    return code;
  });
  try {
    // Nothing says when the end was looked up: lines are sent until one of them was printed.
    const sending = (async () => {
      while (!isOver) await send('new\n');
    })();
    assert.equal(await within(ended, 60_000, 'a new message'), 0);
    await sending;
    assert.equal(stdout, 'new\n');
  } finally {
    child.kill('SIGKILL');
  }
});
