import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIST_ASIDE, PURGE_ASIDE, RETRY_ASIDE } from '../../protocol/src/aside.ts';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { DELAY_STATS } from '../../protocol/src/delayed.ts';
import { connect } from '../support/connect.ts';
import { of } from '../support/dead-letters.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

const tokens = `tokens:
  - name: billing
    token: the-token-of-billing
    grants:
      - { prefix: orders, produce: true, consume: true, create: true }
  - name: audit
    token: the-token-of-audit
    grants:
      - { prefix: audit, produce: true, consume: true, create: true }
  - name: operator
    token: the-token-of-operator
    grants:
      - { prefix: '', create: true }
`;

test('what is asked of groups, delays and redrives tells nothing of topics without a right', async () => {
  const file = join(tempDir(), 'tokens.yaml');
  writeFileSync(file, tokens);
  const server = await startServer({
    args: ['--auth.mechanism', 'token', '--auth.tokens-file', file],
  });
  const owner = await connect(server, { token: 'the-token-of-billing' });
  const stranger = await connect(server, { token: 'the-token-of-audit' });
  await owner.produce(of.topic, { value: 'v' });
  const consumer = await owner.subscribe({ group: of.group, topics: [of.topic] });
  void consumer.run(() => {});
  const reads = async () => (await owner.groups.describe(of.group)).partitions.length > 0;
  await until(reads, { what: 'the group to have committed' });
  const denied = { code: 'NOT_AUTHORIZED' };
  assert.deepEqual(
    (await owner.groups.list()).map(({ group }) => group),
    [of.group],
  );
  assert.equal((await owner.groups.describe(of.group)).members.length, 1);
  assert.deepEqual(await stranger.groups.list(), []);
  await assert.rejects(stranger.groups.describe(of.group), denied);
  assert.equal((await owner.ask(DELAY_STATS, { topic: of.topic })).pending, 0);
  await assert.rejects(stranger.ask(DELAY_STATS, { topic: of.topic }), denied);
  await assert.rejects(stranger.ask(DELAY_STATS, {}), denied);
  const { job = '' } = await owner.ask(REDRIVE_DEAD, of);
  assert.equal((await owner.ask(REDRIVE_DEAD, { job })).job, job);
  await assert.rejects(stranger.ask(REDRIVE_DEAD, { job }), { code: 'NOT_FOUND' });
});

test('what was put aside is shown, sent again and discarded by who may create every topic', async () => {
  const file = join(tempDir(), 'tokens.yaml');
  writeFileSync(file, tokens);
  const server = await startServer({
    args: ['--auth.mechanism', 'token', '--auth.tokens-file', file],
  });
  const operator = await connect(server, { token: 'the-token-of-operator' });
  const stranger = await connect(server, { token: 'the-token-of-audit' });
  const denied = { code: 'NOT_AUTHORIZED' };
  const asked = { log: 'undeliverable', topic: 'audit' } as const;
  assert.deepEqual((await operator.ask(LIST_ASIDE, asked)).topics, []);
  await assert.rejects(stranger.ask(LIST_ASIDE, asked), denied);
  for (const opcode of [RETRY_ASIDE, PURGE_ASIDE]) {
    assert.equal((await operator.ask(opcode, asked)).messages, 0);
    await assert.rejects(stranger.ask(opcode, asked), denied);
  }
});
