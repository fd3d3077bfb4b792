import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openssl } from '../support/certificates.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

const folder = tempDir();

/** A certificate of its own authority, for localhost and the loopback. */
function certificate(name: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1';
  const subject = ['-subj', '/CN=localhost', '-addext', names];
  const files = ['-keyout', key, '-out', cert, '-days', '2'];
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...files, ...subject);
  return { cert, key };
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const tokens = file(
  'tokens.yaml',
  `tokens:
  - name: billing
    token: the-token-of-billing
    grants:
      - { prefix: orders, produce: true, consume: true, create: true }
`,
);

test('commands log in over TLS, and say which option is missing', async () => {
  const { cert, key } = certificate('login');
  const tls = ['--tls.cert', cert, '--tls.key', key];
  const auth = ['--auth.mechanism', 'token', '--auth.tokens-file', tokens];
  const server = await startServer({ args: [...tls, ...auth] });
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`, '--timeout', '20s'];
  const produce = (...more: string[]) => runCli(['produce', 'orders', ...at, ...more], 'x\n');
  const ca = ['--tls-ca', cert];
  const wrong = file('wrong', 'not-the-token-of-billing\n');
  const right = file('right', 'the-token-of-billing\n');
  for (const [options, words] of [
    [[], /cannot reach a node at .*\n {2}somebody listens there: .* --tls or --tls-ca FILE\n$/],
    [['--tls'], /self-signed certificate\n {2}name the authority to trust with --tls-ca FILE\n$/],
    [ca, /AUTHENTICATION_FAILED: this node asks for a token\n {2}.*--token-file/],
    [[...ca, '--token-file', wrong], /AUTHENTICATION_FAILED: the token is not known here\n/],
  ] as const) {
    const { code, stdout, stderr } = await produce(...options);
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, words);
  }
  const sent = await produce(...ca, '--token-file', right, '--json');
  assert.equal(sent.code, 0, sent.stderr);
  const login = ['--server', `${server.mqp.host}:${server.mqp.port}`, ...ca, '--token-file', right];
  const tail = await runCli(['tail', 'orders', ...login, '--from', 'beginning', '--count', '1']);
  assert.deepEqual([tail.code, tail.stdout], [0, 'x\n'], tail.stderr);
  const denied = await runCli(['produce', 'audit', ...login, '--json'], 'x\n');
  assert.deepEqual([denied.code, denied.stdout], [1, '{"n":1,"error":"NOT_AUTHORIZED"}\n']);
});

test('a node without TLS is told from one that is not there', async () => {
  const server = await startServer();
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const { code, stderr } = await runCli(['status', ...at, '--tls']);
  assert.equal(code, 1);
  assert.match(stderr, /\n {2}somebody listens there without TLS: leave --tls and --tls-ca out\n$/);
});

test('SIGHUP serves a new certificate, and keeps the old one when the new one is bad', async () => {
  const [first, second] = [certificate('first'), certificate('second')];
  const [cert, key] = [join(folder, 'served.pem'), join(folder, 'served.key')];
  const serve = (from: { cert: string; key: string }) => {
    copyFileSync(from.cert, cert);
    copyFileSync(from.key, key);
  };
  serve(first);
  const server = await startServer({ args: ['--tls.cert', cert, '--tls.key', key] });
  const trusting = (ca: string) =>
    RawClient.connect(server.mqp, {}, { ca: readFileSync(ca), servername: 'localhost' });
  const old = await trusting(first.cert);
  serve(second);
  server.signal('SIGHUP');
  await until(() => /were read again/.test(server.stderr()), { what: 'the reload' });
  await (await trusting(second.cert)).ping();
  await assert.rejects(trusting(first.cert), /certificate/);
  await old.ping();
  writeFileSync(key, 'no key');
  server.signal('SIGHUP');
  await until(() => /not reloaded: tls\.key: .*is not a PEM file/.test(server.stderr()), {
    what: 'words about the bad key',
  });
  await (await trusting(second.cert)).ping();
});
