import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { reloaded } from '../../../src/config/reload.ts';

const of = (...argv: string[]) => loadConfig({ argv }).config;
const tokens = ['--auth.mechanism', 'token', '--auth.tokens-file', 'a'];
const tls = ['--tls.cert', 'c', '--tls.key', 'k'];

test('what is marked for a reload is taken over, the rest is named and stays', () => {
  const running = of(...tokens, '--topics.overrides.old.id-header', 'false');
  const read = of(
    ...[
      '--auth.mechanism',
      'token',
      '--auth.tokens-file',
      'b',
      '--log-level',
      'warn',
      '--rates.per-token.messages',
      '9',
    ],
    ...['--limits.drain-timeout', '1s', '--topics.overrides.new.failover', 'wait'],
  );
  const { config, waiting } = reloaded(running, read);
  const changed = {
    ...running,
    auth: { mechanism: 'token', tokensFile: 'b' },
    logLevel: 'warn',
    rates: { perToken: { ...running.rates.perToken, messages: 9 } },
  };
  assert.deepEqual(config, changed);
  assert.deepEqual([...waiting].sort(), [
    'limits.drainTimeout',
    'topics.overrides.new.failover',
    'topics.overrides.new.idHeader',
    'topics.overrides.old.failover',
    'topics.overrides.old.idHeader',
  ]);
  assert(Object.isFrozen(config.auth));
  assert.deepEqual(reloaded(config, config), { config, waiting: [] });
});

test('TLS is there or not from the start on; other files of it are read', () => {
  const plain = of();
  const added = reloaded(plain, of(...tls));
  assert.deepEqual(added, { config: plain, waiting: ['tls.cert', 'tls.key'] });
  const secure = of(...tls);
  const gone = reloaded(secure, plain);
  assert.deepEqual(gone, { config: secure, waiting: ['tls.cert', 'tls.key'] });
  const other = reloaded(secure, of('--tls.cert', 'c2', '--tls.key', 'k'));
  assert.deepEqual([other.config.tls.cert, other.waiting], ['c2', []]);
});

test('a mechanism that waits for a restart keeps its file, too', () => {
  const running = of(...tokens);
  const waiting = ['auth.mechanism'];
  assert.deepEqual(reloaded(running, of()), { config: running, waiting });
  const open = of();
  assert.deepEqual(reloaded(open, running), { config: open, waiting });
});
