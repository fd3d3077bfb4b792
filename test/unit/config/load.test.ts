import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { loadConfig } from '../../../src/config/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'mqproxy-config-'));
after(() => rmSync(folder, { recursive: true }));

function fileOf(content: string, name = 'mqproxy.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function refusal(sources: Parameters<typeof loadConfig>[0]): CodedError {
  try {
    loadConfig(sources);
  } catch (error) {
    assert.ok(error instanceof CodedError, String(error));
    return error;
  }
  return assert.fail('it was accepted');
}

test('without any source every setting has its default', () => {
  const { config, origins } = loadConfig({});
  assert.equal(config.listen, '127.0.0.1:7650');
  assert.equal(config.admin.listen, '127.0.0.1:7652');
  assert.equal(config.dataDir, './data');
  assert.equal(config.backend, 'embedded');
  assert.equal(config.lanes, 'auto');
  assert.equal(config.lane.ringBytes, 16 * 2 ** 20);
  assert.equal(config.kafka.options.linger.ms, 0);
  assert.deepEqual(config.kafka.brokers, []);
  assert.equal(config.limits.idleTimeout, 300_000);
  assert.equal(config.rates.perToken.messages, 'off');
  assert.equal(config.allowDegradedAck, false);
  assert.deepEqual(origins.get('listen'), { kind: 'default', detail: 'default' });
});

test('a flag wins over the environment, which wins over the file, which wins over the default', () => {
  const file = fileOf(
    'lanes: 2\nlimits: { connections: 20, keyBytesMax: 2KiB, frameBytesMax: 2MiB }',
  );
  const env = { MQPROXY_LANES: '3', MQPROXY_LIMITS_CONNECTIONS: '30', PATH: '/bin' };
  const { config, origins } = loadConfig({ argv: ['--lanes', '4'], env, file });
  assert.equal(config.lanes, 4);
  assert.equal(config.limits.connections, 30);
  assert.equal(config.limits.keyBytesMax, 2048);
  assert.deepEqual(origins.get('lanes'), { kind: 'flag', detail: '--lanes' });
  assert.deepEqual(origins.get('limits.connections'), {
    kind: 'environment',
    detail: 'MQPROXY_LIMITS_CONNECTIONS',
  });
  assert.deepEqual(origins.get('limits.keyBytesMax'), { kind: 'file', detail: file });
});

test('the configuration is frozen throughout', () => {
  const { config } = loadConfig({ argv: ['--topics.overrides.a.b.id-header', 'false'] });
  assert.ok(Object.isFrozen(config.kafka.tls) && Object.isFrozen(config.kafka.brokers));
  assert.ok(Object.isFrozen(config.topics.overrides['a.b']));
});

test('sizes and durations take units in every source', () => {
  const file = fileOf('limits: { drainTimeout: 1m }\nlane: { batchBytesMax: 2097152 }');
  const argv = ['--outbox.bytes-max=64MiB', '--limits.idle-timeout', '20s'];
  const { config } = loadConfig({ argv, env: { MQPROXY_LOG_RETENTION_MS: '2d' }, file });
  assert.equal(config.outbox.bytesMax, 64 * 2 ** 20);
  assert.equal(config.limits.idleTimeout, 20_000);
  assert.equal(config.limits.drainTimeout, 60_000);
  assert.equal(config.lane.batchBytesMax, 2 * 2 ** 20);
  assert.equal(config.log.retention.ms, 172_800_000);
});

test('brokers are a list in YAML, or one text with commas', () => {
  const file = fileOf('kafka:\n  brokers: [a:1, "b:2"]');
  assert.deepEqual(loadConfig({ file }).config.kafka.brokers, ['a:1', 'b:2']);
  const argv = ['--backend', 'kafka', '--kafka.brokers', 'c:3, d:4'];
  assert.deepEqual(loadConfig({ argv, file }).config.kafka.brokers, ['c:3', 'd:4']);
});

test('an unknown key of the file is refused with the nearest name', () => {
  const error = refusal({ file: fileOf('kafka:\n  broker: [a:1]\nlimit: { connections: 3 }') });
  assert.equal(error.code, 'CONFIG_INVALID');
  assert.match(error.message, /kafka\.broker: unknown key \(did you mean kafka\.brokers\?\)/);
  assert.match(error.message, /limit: unknown key \(did you mean limits\?\)/);
});

test('an unknown MQPROXY_ variable is refused, and those of a Kubernetes service are not', () => {
  assert.match(
    refusal({ env: { MQPROXY_KAFKA_BROKER: 'a:1' } }).message,
    /MQPROXY_KAFKA_BROKER: unknown setting \(did you mean MQPROXY_KAFKA_BROKERS\?\)/,
  );
  const env = { MQPROXY_SERVICE_HOST: '10.0.0.1', MQPROXY_PORT_7650_TCP: 'tcp://10.0.0.1:7650' };
  loadConfig({ env });
});

test('a backup cluster is a setting of the Kafka backend only', () => {
  const file = fileOf('kafka: { backup: { brokers: [b:1] } }');
  assert.match(refusal({ file }).message, /kafka\.backup\.brokers: .* needs backend kafka/);
  const argv = ['--backend', 'kafka', '--kafka.brokers', 'a:1', '--kafka.backup.brokers', 'b:1'];
  assert.deepEqual(loadConfig({ argv }).config.kafka.backup.brokers, ['b:1']);
});

test('an unknown flag is a usage error with the nearest name', () => {
  const error = refusal({ argv: ['--kafka.broker', 'a:1'] });
  assert.equal(error.code, 'USAGE');
  assert.match(error.message, /unknown flag --kafka\.broker \(did you mean --kafka\.brokers\?\)/);
});

test('every fault is named at once, with what is allowed and where it was written', () => {
  const file = fileOf('lanes: 99\nlogLevel: loud\nlimits: { connections: many, idleTimeout: 1ms }');
  const { message } = refusal({ file });
  assert.match(message, /lanes: must be `auto` or a whole number from 1 to 16 \(.*yaml\)/);
  assert.match(message, /logLevel: must be one of trace, debug, info, warn, error, silent/);
  assert.match(message, /limits\.idleTimeout: must be a duration such as 20s, at least 1s/);
  assert.match(message, /limits\.connections: "many" is not a whole number/);
});

test('a secret can come from a file, and is never shown in a message', () => {
  const secret = fileOf('hunter2\n', 'password');
  const login = ['--kafka.sasl.mechanism', 'PLAIN', '--kafka.sasl.username', 'u'];
  const file = fileOf(`kafka: { sasl: { passwordFile: ${secret} } }`);
  const loaded = loadConfig({ argv: login, file });
  assert.equal(loaded.config.kafka.sasl.password, 'hunter2');
  assert.ok(!('passwordFile' in loaded.config.kafka.sasl));
  assert.equal(loaded.origins.get('kafka.sasl.password')?.detail, file);
  const byFlag = loadConfig({ argv: [...login, '--kafka.sasl.password-file', secret] });
  assert.equal(byFlag.config.kafka.sasl.password, 'hunter2');
  const env = { MQPROXY_KAFKA_SASL_PASSWORD_FILE: secret, MQPROXY_KAFKA_SASL_PASSWORD: 'x' };
  assert.match(refusal({ env }).message, /kafka\.sasl\.password: given twice/);
  assert.match(
    refusal({ argv: ['--kafka.sasl.password-file', join(folder, 'none')] }).message,
    /kafka\.sasl\.passwordFile: ENOENT/,
  );
  const shown = refusal({ file: fileOf('kafka: { sasl: { password: [hunter2] } }') }).message;
  assert.doesNotMatch(shown, /hunter2/);
});

test('settings of single topics take names with dots', () => {
  const file = fileOf('topics:\n  overrides:\n    a.b: { idHeader: false }');
  const { config, origins } = loadConfig({
    argv: ['--topics.overrides.c.d.id-header=false'],
    file,
  });
  assert.deepEqual(config.topics.overrides, {
    'a.b': { failover: 'switch', idHeader: false },
    'c.d': { failover: 'switch', idHeader: false },
  });
  assert.equal(origins.get('topics.overrides.a.b.idHeader')?.kind, 'file');
  assert.equal(origins.get('topics.overrides.c.d.idHeader')?.kind, 'flag');
});

test('a boolean flag may stand alone or carry its value', () => {
  assert.equal(loadConfig({ argv: ['--allow-degraded-ack'] }).config.allowDegradedAck, true);
  const argv = ['--topics.auto-create', 'false', '--allow-degraded-ack=false'];
  assert.equal(loadConfig({ argv }).config.topics.autoCreate, false);
  assert.equal(refusal({ argv: ['--lanes'] }).code, 'USAGE');
});

test('settings that do not fit together are refused', () => {
  const faults: [argv: string[], fault: RegExp][] = [
    [['--backend', 'kafka'], /needs at least one broker/],
    [['--lane.ring-bytes', '17MiB'], /power of two/],
    [['--tls.cert', 'c.pem'], /belong together/],
    [['--auth.mechanism', 'token'], /auth\.tokensFile/],
    [['--kafka.sasl.mechanism', 'PLAIN'], /username and password/],
    [['--outbox.hard-bytes-max', '1GiB'], /outbox\.hardBytesMax/],
    [['--admin.listen', '127.0.0.1:7650'], /must differ/],
    [['--limits.message-bytes-max', '2MiB'], /limits\.frameBytesMax/],
  ];
  for (const [argv, fault] of faults) assert.match(refusal({ argv }).message, fault);
});

test('a file that is not there, or is not YAML, is refused with its name', () => {
  assert.match(refusal({ file: join(folder, 'none.yaml') }).message, /none\.yaml: ENOENT/);
  assert.match(refusal({ file: fileOf('a: [1', 'bad.yaml') }).message, /bad\.yaml: .*line 1/);
  assert.match(refusal({ file: fileOf('kafka: 3') }).message, /kafka: a section/);
  assert.equal(loadConfig({ file: fileOf('kafka:\n') }).config.backend, 'embedded');
});

test('retry policies are named by topic and group, in every source', () => {
  const file = fileOf(
    'retry:\n  backoff: { table: [1s, 5s] }\n  policies:\n    a.b/c: { attempts: 3, backoff: { max: 5s } }',
  );
  const { config, origins } = loadConfig({
    argv: ['--retry.policies.a.b/d.backoff.jitter-percent', '0', '--retry.backoff.table=1s,10s'],
    file,
  });
  assert.deepEqual(config.retry.backoff.table, [1000, 10_000]);
  assert.equal(config.retry.policies['a.b/c']?.attempts, 3);
  assert.equal(config.retry.policies['a.b/c']?.backoff.max, 5000);
  assert.equal(config.retry.policies['a.b/d']?.backoff.jitterPercent, 0);
  assert.equal(origins.get('retry.policies.a.b/c.backoff.max')?.kind, 'file');
  assert.equal(origins.get('retry.policies.a.b/d.backoff.jitterPercent')?.kind, 'flag');
});

test('more attempts than are counted are refused', () => {
  for (const name of ['retry', 'retry.policies.a/b']) {
    const fault = new RegExp(`${name}\\.attempts: .*4095`);
    assert.match(refusal({ argv: [`--${name}.attempts`, '4096'] }).message, fault);
    loadConfig({ argv: [`--${name}.attempts`, '4095'] });
  }
});

test('a wait beyond what a message may spend in place is refused, unless the node has delays', () => {
  const off = ['--delay.enabled', 'false'];
  const faults: [argv: string[], fault: RegExp][] = [
    [['--retry.backoff.max', '20m'], /retry\.backoff\.max: waits of 20m .*delay\.enabled is off/],
    [['--retry.in-place-max', '1m'], /retry\.backoff\.max: waits of 10m .*delay\.enabled is off/],
    [['--retry.backoff.table', '1s,15m'], /retry\.backoff\.table: waits of 15m .*is off/],
    [['--retry.policies.a/*.backoff.max', '11m'], /retry\.policies\.a\/\*\.backoff\.max: waits/],
    [['--retry.policies.a.attempts', '3'], /retry\.policies\.a: is TOPIC\/GROUP/],
    [['--retry.policies.a/b.backoff.min', '30m'], /retry\.policies\.a\/b\.backoff\.min: must not/],
  ];
  for (const [argv, fault] of faults) {
    assert.match(refusal({ argv: [...off, ...argv] }).message, fault);
  }
  const { config } = loadConfig({ argv: ['--retry.backoff.max', '20m'] });
  assert.equal(config.retry.backoff.max, 1_200_000);
  loadConfig({ argv: ['--retry.policies.a/b.backoff.max', '1m', '--retry.in-place-max', '20m'] });
});
