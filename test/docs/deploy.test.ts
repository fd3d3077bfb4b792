import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { blocksOf } from '../support/markdown.ts';
import { repoRoot } from '../support/repo.ts';
import { tempDir } from '../support/temp-dir.ts';

const read = (path: string): string => readFileSync(join(repoRoot, path), 'utf8');

test('the settings of the deploy page are a valid configuration', () => {
  const [block] = blocksOf(read('deploy/README.md')).filter(({ info }) => info === 'yaml');
  const file = join(tempDir(), 'mqproxy.yaml');
  writeFileSync(file, block?.text ?? '');
  const { config } = loadConfig({ file });
  assert.equal(config.backend, 'kafka');
  assert.equal(config.kafka.brokers.length, 3);
});

test('the systemd unit waits longer than the node drains by default', () => {
  const unit = read('deploy/mqproxy.service');
  const stopSeconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]);
  const { config } = loadConfig({});
  assert.ok(stopSeconds * 1000 >= config.limits.drainTimeout + 10_000, `${stopSeconds} s`);
  assert.match(unit, /^KillMode=mixed$/m);
});

test('nginx keeps a silent connection longer than the node does', () => {
  const minutes = Number(/proxy_timeout (\d+)m;/.exec(read('deploy/nginx-stream.conf'))?.[1]);
  assert.ok(minutes * 60_000 > loadConfig({}).config.limits.idleTimeout, `${minutes} min`);
});
