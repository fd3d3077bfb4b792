import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const tokens = `tokens:
  - name: billing
    token: the-token-of-billing
    grants:
      - { prefix: orders, produce: true, consume: true, create: true }
  - name: audit
    token: the-token-of-audit
    grants:
      - { prefix: audit, produce: true, create: true }
`;

test('nobody speaks for the producer of another token, neither beside it nor between its connections', async () => {
  const file = join(tempDir(), 'tokens.yaml');
  writeFileSync(file, tokens);
  const args = ['--auth.mechanism', 'token', '--auth.tokens-file', file];
  const { mqp } = await startServer({ args });
  const producer = { producerId: 77n, epoch: 1, token: 'the-token-of-billing' };
  const owner = await RawClient.connect(mqp, producer);
  const { topicId: topic } = await owner.open('orders');
  await owner.produce({ topic, first: 1, values: ['a'] });
  const denied = { code: ErrorCode.NOT_AUTHORIZED };
  const steal = (epoch: number) =>
    RawClient.connect(mqp, { ...producer, epoch, token: 'the-token-of-audit' });
  for (const epoch of [0, 1, 2]) await assert.rejects(steal(epoch), denied);
  await owner.produce({ topic, first: 2, values: ['b'] });
  owner.socket.destroy();
  await owner.closed;
  for (const epoch of [1, 2]) await assert.rejects(steal(epoch), denied);
  const again = await RawClient.connect(mqp, producer);
  assert.equal(again.hello?.lastSequence, 2);
  const newer = await RawClient.connect(mqp, { ...producer, epoch: 2 });
  assert.equal(newer.hello?.lastSequence, 0);
});
