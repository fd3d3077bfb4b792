import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const tokens = `tokens:
  - name: billing
    token: the-token-of-billing
    grants:
      - { prefix: orders, produce: true, consume: true, create: true }
      - { prefix: audit, produce: false, consume: true, create: false }
  - name: audit
    token: the-token-of-audit
    grants:
      - { prefix: audit, produce: true, consume: true, create: true }
`;

test('who may produce to a topic may schedule, replace, cancel and see its series, nobody else', async () => {
  const file = join(tempDir(), 'tokens.yaml');
  writeFileSync(file, tokens);
  const server = await startServer({
    args: ['--auth.mechanism', 'token', '--auth.tokens-file', file],
  });
  const connect = async (token: string) => {
    const servers = [`${server.mqp.host}:${server.mqp.port}`];
    const client = await MqpClient.connect({ servers, token });
    cleanUp(() => client.close({ timeoutMs: 0 }));
    return client.delayed.series;
  };
  const billing = await connect('the-token-of-billing');
  const audit = await connect('the-token-of-audit');
  const hourly = { value: 'v', every: { intervalMs: 3_600_000 } };
  const denied = { code: 'NOT_AUTHORIZED' };
  await billing.schedule({ series: 'o', topic: 'orders', ...hourly });
  await audit.schedule({ series: 'a', topic: 'audit', ...hourly });
  await assert.rejects(billing.schedule({ topic: 'audit', ...hourly }), denied);
  await assert.rejects(audit.schedule({ series: 'o', topic: 'audit', ...hourly }), denied);
  await assert.rejects(audit.cancel('o'), denied);
  await assert.rejects(audit.cancel('o', 2), denied);
  await assert.rejects(billing.cancel('a'), denied);
  const names = async (of: typeof billing) =>
    (await of.list()).series.map(({ series }) => series).sort();
  assert.deepEqual(await names(billing), ['a', 'o'], 'what may be read is seen');
  assert.deepEqual(await names(audit), ['a']);
  assert.equal(await billing.cancel('o'), 'cancelled');
});
