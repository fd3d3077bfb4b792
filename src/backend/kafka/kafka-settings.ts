import { readFileSync } from 'node:fs';
import type { KafkaConfig } from 'kafkajs';
import { coded, messageOf } from '../../base/errors.ts';

/** Log-in mechanisms that both Kafka clients speak. */
export type SaslMechanism = 'none' | 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';

/** How a cluster is reached and written to: all that can be set, and nothing else. */
export interface KafkaSettings {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** How the node calls itself. */
  readonly clientId: string;
  /** Files in PEM; the system's authorities when `ca` is absent. */
  readonly tls: {
    readonly enabled: boolean;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  readonly sasl: {
    readonly mechanism: SaslMechanism;
    readonly username?: string;
    readonly password?: string;
  };
  readonly lingerMs: number;
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
  /** Largest message that is ever produced, with key, headers and our own header, in bytes. */
  readonly messageBytesMax: number;
}

/** The most that librdkafka takes as `message.max.bytes`. */
export const LONGEST_MESSAGE_BYTES = 1_000_000_000;

/** The same settings as each client wants them. */
export interface ClientSettings {
  /** For kafkajs, which only administrates. */
  readonly admin: Pick<KafkaConfig, 'brokers' | 'clientId' | 'ssl' | 'sasl'>;
  /** For librdkafka's producer; secrets included, so never for a log. */
  readonly producer: Record<string, string>;
  /** For librdkafka's consumer. */
  readonly consumer: Record<string, string>;
}

/**
 * Maps the settings for kafkajs and librdkafka alike.
 *
 * @throws CONFIG_INVALID when a PEM file cannot be read, or a user or password is missing.
 */
export function clientSettings(settings: KafkaSettings): ClientSettings {
  const common = librdkafkaCommon(settings);
  // A batch is bounded by batch.size; one message may be longer than that and then goes alone.
  const wanted = Math.max(settings.messageBytesMax + 1024, 1_000_000);
  const messageMax = Math.min(wanted, LONGEST_MESSAGE_BYTES);
  return {
    admin: {
      brokers: [...settings.brokers],
      clientId: settings.clientId,
      ssl: tlsOptions(settings.tls),
      sasl: saslOptions(settings.sasl),
    },
    producer: {
      ...common,
      'linger.ms': String(settings.lingerMs),
      'compression.type': settings.compression,
      'message.max.bytes': String(messageMax),
    },
    consumer: { ...common },
  };
}

/**
 * The producer's settings for messages that the broker refused as part of a batch: each is then a
 * batch of its own, and a refusal is meant for it.
 */
export function aloneSettings(producer: Readonly<Record<string, string>>): Record<string, string> {
  return { ...producer, 'batch.num.messages': '1', 'linger.ms': '0' };
}

function librdkafkaCommon(settings: KafkaSettings): Record<string, string> {
  const { tls, sasl } = settings;
  const config: Record<string, string> = {
    'bootstrap.servers': settings.brokers.join(','),
    'client.id': settings.clientId,
    'security.protocol': protocolName(tls.enabled, sasl.mechanism !== 'none'),
  };
  if (tls.enabled) {
    if (tls.ca !== undefined) config['ssl.ca.location'] = tls.ca;
    if (tls.cert !== undefined) config['ssl.certificate.location'] = tls.cert;
    if (tls.key !== undefined) config['ssl.key.location'] = tls.key;
  }
  if (sasl.mechanism !== 'none') {
    const { username, password } = login(sasl);
    config['sasl.mechanisms'] = sasl.mechanism;
    config['sasl.username'] = username;
    config['sasl.password'] = password;
  }
  return config;
}

function protocolName(tls: boolean, sasl: boolean): string {
  if (sasl) return tls ? 'sasl_ssl' : 'sasl_plaintext';
  return tls ? 'ssl' : 'plaintext';
}

function tlsOptions(tls: KafkaSettings['tls']): KafkaConfig['ssl'] {
  if (!tls.enabled) return undefined;
  return { ca: pem('ca', tls.ca), cert: pem('cert', tls.cert), key: pem('key', tls.key) };
}

function pem(which: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw coded('CONFIG_INVALID', `kafka.tls.${which}: ${messageOf(cause)}`, { cause });
  }
}

function saslOptions(sasl: KafkaSettings['sasl']): KafkaConfig['sasl'] {
  switch (sasl.mechanism) {
    case 'none':
      return undefined;
    case 'PLAIN':
      return { mechanism: 'plain', ...login(sasl) };
    case 'SCRAM-SHA-256':
      return { mechanism: 'scram-sha-256', ...login(sasl) };
    case 'SCRAM-SHA-512':
      return { mechanism: 'scram-sha-512', ...login(sasl) };
  }
}

function login(sasl: KafkaSettings['sasl']): { username: string; password: string } {
  const { username, password } = sasl;
  if (username === undefined || password === undefined) {
    throw coded(
      'CONFIG_INVALID',
      `kafka.sasl.mechanism ${sasl.mechanism} needs username and password`,
    );
  }
  return { username, password };
}
