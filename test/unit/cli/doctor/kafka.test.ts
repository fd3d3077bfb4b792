import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkKafka } from '../../../../src/cli/doctor/kafka.ts';
import { loadConfig } from '../../../../src/config/load.ts';

async function adviceOn(broker: string): Promise<string | undefined> {
  const { config } = loadConfig({ argv: ['--backend', 'kafka', '--kafka.brokers', broker] });
  const [finding] = await checkKafka(config);
  assert.equal(finding?.level, 'fail');
  return finding.advice;
}

test('a mistyped broker is told from one that does not run', async () => {
  assert.match((await adviceOn('kafak.invalid:9092')) ?? '', /is the name in kafka\.brokers right/);
  assert.match((await adviceOn('127.0.0.1:1')) ?? '', /is it running/);
});
