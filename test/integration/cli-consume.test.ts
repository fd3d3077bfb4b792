import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { ConsumerProcess } from '../support/consume-crew.ts';
import { metric } from '../support/node-state.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';
import { FakeGroup } from '../unit/sdk/fake-group.ts';
import { FakeNode } from '../unit/sdk/fake-node.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Sends lines in order, to one partition. */
async function produce(server: TestServer, topic: string, input: string | Buffer): Promise<void> {
  const words = ['produce', topic, ...at(server), '--partition', '0', '--key-separator', ':'];
  const { code, stderr } = await runCli(words, input);
  assert.equal(code, 0, stderr);
}

test('consume prints what tail prints, with cluster and attempt, and a group goes on where it was', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, Buffer.concat([Buffer.from('a\nk:v\n'), Buffer.of(0xff, 10)]));
  const consume = ['consume', topic, ...at(server), '--group', 'billing', '--count'];
  const first = await runCli([...consume, '3', '--json', '--ack-wait', 'committed']);
  assert.equal(first.code, 0, first.stderr);
  const records = jsonLines(first.stdout);
  const tail = ['tail', topic, ...at(server), '--from', 'beginning', '--count', '3', '--json'];
  const tailed = jsonLines((await runCli(tail)).stdout);
  assert.deepEqual(
    records,
    tailed.map((record) => ({ ...record, cluster: 'primary', attempt: 1 })),
  );
  await produce(server, topic, 'next\n');
  const second = await runCli([...consume, '1']);
  assert.deepEqual([second.code, second.stdout], [0, 'next\n']);
  const other = await runCli(['consume', topic, ...at(server), '--group', 'audit', '--count', '2']);
  assert.equal(other.stdout, 'a\nv\n');
});

test('what was printed with --no-ack comes again', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, 'a\nb\n');
  const consume = ['consume', topic, ...at(server), '--group', 'billing', '--count', '2'];
  const kept = await runCli([...consume, '--no-ack']);
  assert.equal(kept.stdout, 'a\nb\n', kept.stderr);
  const again = await runCli(consume);
  assert.deepEqual(again.stdout.split('\n').sort(), ['', 'a', 'b']);
});

test('an ack that fails is named with its message, and ends in exit code 1', async (t) => {
  const group: FakeGroup = new FakeGroup(() => node);
  const node = await FakeNode.start(group.script);
  t.after(() => node.close());
  group.settle = () => [{ entry: 0, index: 1, code: ErrorCode.LEASE_LOST }];
  const at = ['--server', node.address, '--group', 'billing', '--count', '2'];
  const consumed = runCli(['consume', 'orders', ...at]);
  await node.until(() => group.subscribes.length === 1);
  setImmediate(() => group.deliver(['a', 'b'], { partition: 3 }));
  const { code, stdout, stderr } = await consumed;
  assert.equal(stdout, 'a\nb\n');
  assert.match(stderr, /^mqproxy: orders 3\/101 comes again: \S+.*\n$/);
  assert.equal(code, 1);
});

test('--credit bounds what is out, and --mode is that of the group', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, 'k:a\nk:b\nl:c\nl:d\n');
  const consume = ['consume', topic, ...at(server), '--group', 'billing'];
  const mode = (name: string) => [...consume, '--mode', name];
  const first = new ConsumerProcess([
    ...mode('key-ordered'),
    '--json',
    '--no-ack',
    ...['--credit', '1'],
  ]);
  await until(() => first.printed.length > 0);
  const [described] = jsonLines(
    (await runCli(['group', 'describe', 'billing', ...at(server), '--json'])).stdout,
  );
  assert.equal(described?.['mode'], 'key-ordered');
  const other = await runCli(mode('partition-ordered'));
  assert.equal(other.code, 1);
  assert.match(other.stderr, /GROUP_CONFLICT.*key-ordered/);
  // While `a` is out `b` waits for it; the other key does not.
  const second = await runCli([...mode('key-ordered'), '--count', '1', '--ack-wait', 'committed']);
  assert.equal(second.stdout, 'c\n', second.stderr);
  assert.equal(await metric(server, 'mqproxy_consume_in_flight_messages'), 1);
  assert.deepEqual(
    first.printed.map(({ value }) => value),
    ['a'],
  );
  await first.kill();
});

test('--from begins a new group at a time, or at the end', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, 'old\n');
  const between = new Date(Date.now() + 1).toISOString();
  await produce(server, topic, 'new\n');
  const consume = (group: string) => ['consume', topic, ...at(server), '--group', group, '--from'];
  const late = await runCli([...consume('late'), between, '--count', '1']);
  assert.equal(late.stdout, 'new\n', late.stderr);
  const last = new ConsumerProcess([...consume('last'), 'end', '--json']);
  const describe = ['group', 'describe', 'last', ...at(server), '--json'];
  const isRead = async () => {
    const [group] = jsonLines((await runCli(describe)).stdout);
    const partitions = (group?.['partitions'] ?? []) as Record<string, unknown>[];
    return partitions.some(({ partition, floor }) => partition === 0 && floor === 2);
  };
  await until(isRead, { what: 'the group to begin at the end' });
  await produce(server, topic, 'newest\n');
  await until(() => last.printed.length > 0);
  assert.deepEqual(
    last.printed.map(({ value }) => value),
    ['newest'],
  );
  await last.kill();
});

test('a consumer that is wrongly called says what is wrong', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  const cases: [string[], number, RegExp][] = [
    [['consume', topic], 2, /needs a group/],
    [['consume'], 2, /takes one TOPIC/],
    [['consume', topic, '--group', 'g', '--from', 'noon'], 2, /--from/],
    [['consume', topic, '--group', 'g', '--mode', 'fair'], 2, /--mode/],
    [['consume', topic, '--group', 'a/b', ...at(server)], 1, /a group's name/],
    [['group', 'lst'], 2, /list/],
    [['group', 'describe'], 2, /one GROUP/],
    [['group', 'reset', 'g'], 2, /--topic/],
    [['group', 'reset', 'g', '--topic', 't', '--to', 'noon'], 2, /--to/],
    [['group', 'describe', 'nobody', ...at(server)], 1, /nobody/],
  ];
  for (const [words, code, says] of cases) {
    const outcome = await runCli(words);
    assert.deepEqual([outcome.code, outcome.stdout], [code, ''], words.join(' '));
    assert.match(outcome.stderr, says, words.join(' '));
  }
});

test('groups are listed, described, set back and deleted', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, 'a\nb\nc\n');
  const consume = ['consume', topic, ...at(server), '--group', 'billing', '--count'];
  await runCli([...consume, '3', '--ack-wait', 'committed']);
  const listed = jsonLines((await runCli(['group', 'list', ...at(server), '--json'])).stdout);
  assert.deepEqual(
    listed.map(({ group, subscriptions }) => [group, subscriptions]),
    [['billing', 0]],
  );
  const describe = ['group', 'describe', 'billing', ...at(server)];
  const [described] = jsonLines((await runCli([...describe, '--json'])).stdout);
  const partitions = described?.['partitions'] as Record<string, unknown>[];
  const [own] = partitions.filter(({ partition }) => partition === 0);
  assert.deepEqual([own?.['topic'], own?.['cluster'], own?.['floor']], [topic, 0, 3]);
  assert.match((await runCli(describe)).stdout, /^group {2}billing\nstate {2}idle/);

  const reset = ['group', 'reset', 'billing', ...at(server), '--topic', topic, '--to', '1'];
  const moved = await runCli([...reset, '--partition', '0', '--json']);
  assert.deepEqual(jsonLines(moved.stdout), [
    { group: 'billing', topic, cluster: 0, partition: 0, offset: 1 },
  ]);
  const again = await runCli([...consume, '2', '--ack-wait', 'committed']);
  assert.equal(again.stdout, 'b\nc\n', again.stderr);

  const remove = ['group', 'delete', 'billing', ...at(server)];
  await until(async () => (await runCli(remove)).code === 0);
  assert.equal((await runCli(describe)).code, 1);
});

test('a paused group stays paused over kill -9, shows by whom, and goes on when it is resumed', async () => {
  const server = await startServer();
  const topic = uniqueTopic('consume');
  await produce(server, topic, 'a\n');
  const consume = ['consume', topic, ...at(server), '--group', 'billing', '--count', '1'];
  await runCli([...consume, '--ack-wait', 'committed']);
  await runCli(['group', 'pause', 'billing', ...at(server)]);
  await server.kill();
  await server.restart();
  await produce(server, topic, 'b\n');
  const describe = ['group', 'describe', 'billing', ...at(server)];
  assert.match((await runCli(describe)).stdout, /\nstate {2}paused since 20\d\d-\S+Z by mqproxy/);
  const listed = jsonLines((await runCli(['group', 'list', ...at(server), '--json'])).stdout);
  assert.equal(listed[0]?.['state'], 'paused');
  const waiting = runCli(consume);
  const isThere = async () => {
    const [group] = jsonLines((await runCli([...describe, '--json'])).stdout);
    return ((group?.['members'] ?? []) as unknown[]).length === 1;
  };
  await until(isThere, { what: 'the consumer to be there' });
  await runCli(['group', 'resume', 'billing', ...at(server)]);
  assert.equal((await waiting).stdout, 'b\n');
  assert.match((await runCli(describe)).stdout, /\nstate {2}(idle|active)\n/);
});
