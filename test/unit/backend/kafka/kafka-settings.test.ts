import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aloneSettings,
  clientSettings,
  type KafkaSettings,
} from '../../../../src/backend/kafka/kafka-settings.ts';

const plain: KafkaSettings = {
  brokers: ['a:9092', 'b:9092'],
  clientId: 'node-1',
  tls: { enabled: false },
  sasl: { mechanism: 'none' },
  lingerMs: 0,
  compression: 'none',
  messageBytesMax: 2_000_000,
};

test('maps a plain cluster for both clients', () => {
  const { admin, producer, consumer } = clientSettings(plain);
  assert.deepEqual(admin, {
    brokers: ['a:9092', 'b:9092'],
    clientId: 'node-1',
    ssl: undefined,
    sasl: undefined,
  });
  assert.deepEqual(consumer, {
    'bootstrap.servers': 'a:9092,b:9092',
    'client.id': 'node-1',
    'security.protocol': 'plaintext',
  });
  assert.deepEqual(producer, {
    ...consumer,
    'linger.ms': '0',
    'compression.type': 'none',
    'message.max.bytes': '2001024',
  });
  assert.equal(aloneSettings(producer)['batch.num.messages'], '1');
});

test('maps TLS and a log-in for both clients', () => {
  const { admin, producer } = clientSettings({
    ...plain,
    tls: { enabled: true },
    sasl: { mechanism: 'SCRAM-SHA-512', username: 'u', password: 'p' },
  });
  assert.deepEqual(admin.sasl, { mechanism: 'scram-sha-512', username: 'u', password: 'p' });
  assert.notEqual(admin.ssl, undefined);
  assert.equal(producer['security.protocol'], 'sasl_ssl');
  assert.equal(producer['sasl.mechanisms'], 'SCRAM-SHA-512');
  assert.deepEqual([producer['sasl.username'], producer['sasl.password']], ['u', 'p']);
});

test('refuses a log-in without a password and a PEM file that is not there', () => {
  const sasl = { mechanism: 'PLAIN', username: 'u' } as const;
  assert.throws(() => clientSettings({ ...plain, sasl }), { code: 'CONFIG_INVALID' });
  const tls = { enabled: true, ca: '/nowhere/ca.pem' };
  assert.throws(() => clientSettings({ ...plain, tls }), {
    code: 'CONFIG_INVALID',
    message: /ca\.pem/,
  });
});
