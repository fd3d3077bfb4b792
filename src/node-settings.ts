import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { TAIL_ANSWER_BYTES } from '../protocol/src/tail.ts';
import type { KafkaSettings } from './backend/kafka/kafka-settings.ts';
import { messageRoom } from './backend/kafka/message-room.ts';
import { coded, messageOf } from './base/errors.ts';
import { limits as bounds } from './base/limits.ts';
import { packageRoot } from './base/package-root.ts';
import type { Config } from './config/schema.ts';
import type { RateLimits } from './server/token-rates.ts';
import { Tokens } from './server/tokens.ts';

/** What bounds one connection. */
export function sessionLimits(config: Config): {
  frameBytesMax: number;
  topicsPerConnectionMax: number;
  inFlightMessagesMax: number;
  inFlightBytesMax: number;
  handshakeTimeoutMs: number;
  idleTimeoutMs: number;
} {
  const { limits } = config;
  return {
    frameBytesMax: limits.frameBytesMax,
    topicsPerConnectionMax: limits.topicsPerConnectionMax,
    inFlightMessagesMax: limits.inFlightMessagesMax,
    inFlightBytesMax: limits.inFlightBytesMax,
    handshakeTimeoutMs: limits.handshakeTimeout,
    idleTimeoutMs: limits.idleTimeout,
  };
}

/** Bytes of records in one answer to TAIL, which fits a frame. */
export function tailBytesMax(frameBytesMax: number): number {
  return Math.min(bounds.tailBytesMax, frameBytesMax - TAIL_ANSWER_BYTES);
}

/** The longest message, in bytes, that a topic takes whose backend takes batches that long. */
export function largestMessage(
  { limits }: Config,
  backend: 'embedded' | 'kafka',
  batchBytesMax: number,
): number {
  const { headersBytesMax, messageBytesMax } = limits;
  const room =
    backend === 'kafka' ? messageRoom({ batchBytesMax, headersBytesMax }) : batchBytesMax;
  return Math.min(messageBytesMax, room);
}

/** The native producer of the primary cluster: one for the process. */
export const KAFKA_PRIMARY = 'primary';

/** That of the backup cluster. */
export const KAFKA_BACKUP = 'backup';

/** How the primary cluster is reached and written to. */
export function kafkaSettings(config: Config): KafkaSettings {
  const { kafka, limits } = config;
  return {
    brokers: kafka.brokers,
    clientId: 'mqproxy',
    tls: kafka.tls,
    sasl: kafka.sasl,
    lingerMs: kafka.options.linger.ms,
    compression: kafka.options.compression,
    messageBytesMax: limits.messageBytesMax,
  };
}

/** How the backup cluster is reached and written to; undefined when there is none. */
export function backupSettings(config: Config): KafkaSettings | undefined {
  const { brokers, tls, sasl } = config.kafka.backup;
  return brokers.length === 0 ? undefined : { ...kafkaSettings(config), brokers, tls, sasl };
}

/** When the outbox refuses. */
export function marksOf(config: Config): {
  softBytes: number;
  hardBytes: number;
  freeBytesMin: number;
  parkedBytes: number;
  undeliverableBytes: number;
  drainsGently: boolean;
} {
  const { bytesMax, hardBytesMax, freeBytesMin, parkedBytesMax, undeliverableBytesMax, drain } =
    config.outbox;
  return {
    softBytes: bytesMax,
    hardBytes: hardBytesMax,
    freeBytesMin,
    parkedBytes: parkedBytesMax,
    undeliverableBytes: undeliverableBytesMax,
    drainsGently: drain === 'gentle',
  };
}

/** The tokens, read from their file. @throws CONFIG_INVALID */
export function readTokens(config: Config): Tokens | undefined {
  if (config.auth.mechanism === 'none') return undefined;
  if (config.auth.tokensFile === undefined) {
    throw coded('CONFIG_INVALID', 'auth.mechanism is token, and auth.tokensFile is missing');
  }
  return Tokens.read(config.auth.tokensFile);
}

/**
 * Certificate and key, read from their files and tried; undefined without TLS.
 * @throws CONFIG_INVALID with the setting and what is wrong with its file
 */
export function readTls(config: Config): SecureContextOptions | undefined {
  const { cert, key } = config.tls;
  if (cert === undefined || key === undefined) return undefined;
  const options = { cert: readPem('tls.cert', cert), key: readPem('tls.key', key) };
  try {
    createSecureContext(options);
  } catch (error) {
    const words = `tls: ${cert} and ${key} are no certificate with its key: ${messageOf(error)}`;
    throw coded('CONFIG_INVALID', words, { cause: error });
  }
  return options;
}

function readPem(setting: string, file: string): Buffer {
  let pem: Buffer;
  try {
    pem = readFileSync(file);
  } catch (error) {
    throw coded('CONFIG_INVALID', `${setting}: ${messageOf(error)}`, { cause: error });
  }
  if (pem.includes('-----BEGIN ')) return pem;
  throw coded('CONFIG_INVALID', `${setting}: ${file} is not a PEM file`);
}

/** The version of this package. */
export function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}

/** What one token may send a second. */
export function rateLimits(config: Config): RateLimits {
  const { messages, bytes } = config.rates.perToken;
  return {
    messagesPerSecond: messages === 'off' ? undefined : messages,
    bytesPerSecond: bytes === 'off' ? undefined : bytes,
  };
}
