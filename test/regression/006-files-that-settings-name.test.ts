import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { serveRefusal } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const folder = tempDir();

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const text = file('text.pem', 'not a certificate');
const broken = file('broken.pem', '-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n');
const yaml = file('tokens.yaml', 'tokens: [\n');
const empty = file('empty.yaml', 'token: x\n');
const gone = join(folder, 'gone');

const tls = (cert: string, key: string) => ['--tls.cert', cert, '--tls.key', key];
const tokens = (path: string) => ['--auth.mechanism', 'token', '--auth.tokens-file', path];

const cases: readonly (readonly [flags: readonly string[], words: RegExp])[] = [
  [tls(gone, gone), /^mqproxy: tls\.cert: ENOENT: no such file .*gone'\n$/],
  [tls(broken, gone), /^mqproxy: tls\.key: ENOENT: no such file .*gone'\n$/],
  [tls(text, text), /^mqproxy: tls\.cert: .*text\.pem is not a PEM file\n$/],
  [tls(broken, broken), /^mqproxy: tls: .*broken\.pem are no certificate with its key: .*\n$/],
  [tokens(gone), /^mqproxy: auth\.tokensFile: .*gone: ENOENT: no such file .*\n$/],
  [tokens(yaml), /^mqproxy: auth\.tokensFile: .*tokens\.yaml: .* at line \d+, column \d+\n$/],
  [tokens(empty), /^mqproxy: auth\.tokensFile: .*empty\.yaml has no list named tokens\n$/],
];

test('a bad file of TLS or tokens is one line with its setting, and exit code 78', async () => {
  for (const [flags, words] of cases) {
    const checked = await runCli(['check-config', ...flags]);
    assert.deepEqual([checked.code, checked.stdout], [78, ''], flags.join(' '));
    assert.match(checked.stderr, words);
  }
});

test('a node with such a file is refused before a store is made', async () => {
  for (const [args, words] of [cases[2], cases[5]] as typeof cases) {
    const dataDir = tempDir();
    const { code, stderr } = await serveRefusal({ dataDir, args });
    assert.equal(code, 78);
    assert.match(stderr, words);
    assert.equal(existsSync(join(dataDir, 'lanes')), false);
  }
});

test('a configuration that is not YAML is one line with its place', async () => {
  const config = file('mqproxy.yaml', 'lanes: 1\nlanes: 2\n');
  const { code, stderr } = await runCli(['check-config', '--config', config]);
  assert.equal(code, 78);
  assert.match(stderr, /^mqproxy: .*mqproxy\.yaml: .* at line 2, column 1\n$/);
});
