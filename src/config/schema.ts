import { type Static, Type } from '@sinclair/typebox';
import { limits as bounds } from '../base/limits.ts';
import { address, bytes, choice, count, duration, flag, orWord, path } from './leaf.ts';
import { clusterSection, consumeSection, delaySection } from './sections/consume.ts';
import { failoverSection } from './sections/failover.ts';
import { kafkaSection } from './sections/kafka.ts';
import { deadLettersSection, retrySection } from './sections/retry.ts';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const minute = 60_000;
const closed = { additionalProperties: false };

const lane = Type.Object(
  {
    host: choice(
      ['worker', 'inline'],
      'Where a lane runs: in a worker thread, or on the main one.',
      {
        default: 'worker',
      },
    ),
    ringBytes: bytes(
      'The ring that carries frames to a lane, a power of two; full pauses sockets.',
      {
        default: 16 * MiB,
        minimum: MiB,
        maximum: GiB,
      },
    ),
    batchBytesMax: bytes('Most bytes in one micro-batch: one write and one fsync.', {
      default: MiB,
      minimum: 4 * KiB,
      maximum: 64 * MiB,
    }),
  },
  closed,
);

const topics = Type.Object(
  {
    autoCreate: flag('Create a topic that a client opens to send to it and nobody has made.', {
      default: true,
    }),
    partitions: count('Partitions of a topic that is created without a number.', {
      default: 4,
      minimum: 1,
      maximum: 10_000,
    }),
    replicationFactor: orWord(
      'auto',
      'count',
      'Replicas of a created topic; auto is 3, or the number of brokers when that is lower.',
      { minimum: 1, maximum: 32 },
    ),
    overrides: Type.Record(
      Type.String(),
      Type.Object(
        {
          idHeader: flag('Put the `mq` header with the message id on produced records.', {
            default: true,
          }),
          failover: choice(
            ['switch', 'wait'],
            'In an outage of its cluster: go to the backup, or wait, which keeps the order.',
            { default: 'switch' },
          ),
        },
        closed,
      ),
      { default: {}, description: 'Settings of single topics, by name.' },
    ),
  },
  closed,
);

const outbox = Type.Object(
  {
    bytesMax: bytes('Soft mark of waiting bytes: from here produce answers RETRY_LATER.', {
      default: 16 * GiB,
      minimum: MiB,
      reload: true,
    }),
    hardBytesMax: bytes(
      'Hard mark of waiting bytes: producers of the lane are not read; who reads or consumes is.',
      { default: 18 * GiB, minimum: MiB, reload: true },
    ),
    freeBytesMin: bytes(
      'Free bytes to leave on the volume; less is the soft mark, and on the embedded log less ' +
        'than half the hard one.',
      { default: GiB, reload: true },
    ),
    parkedBytesMax: bytes('Bytes a lane parks of topics that take no messages; then they wait.', {
      default: 4 * GiB,
      reload: true,
    }),
    undeliverableBytesMax: bytes('Bytes of what was refused for good; then it is tried again.', {
      default: GiB,
      reload: true,
    }),
    drain: choice(
      ['gentle', 'full'],
      'How a backlog is sent: as fast as new messages stay quick, or without a limit.',
      {
        default: 'gentle',
        reload: true,
      },
    ),
  },
  closed,
);

const log = Type.Object(
  {
    retention: Type.Object(
      {
        ms: orWord('off', 'duration', 'How long the embedded log keeps a message.', {
          minimum: 1000,
          default: 7 * 24 * 60 * minute,
        }),
        bytes: orWord('off', 'bytes', 'Bytes the embedded log keeps of each partition.', {
          minimum: MiB,
          default: 4 * GiB,
        }),
      },
      closed,
    ),
  },
  closed,
);

const limits = Type.Object(
  {
    connections: count('Most client connections at once.', {
      default: bounds.connectionsMax,
      minimum: 1,
      maximum: 1_000_000,
    }),
    frameBytesMax: bytes('Longest frame after HELLO, both ways.', {
      default: bounds.frameBytesMax,
      minimum: bounds.frameBytesMin,
      maximum: 256 * MiB,
    }),
    messageBytesMax: bytes(
      'Largest message: key, headers and value. A topic on Kafka may take less.',
      {
        default: bounds.messageBytesMax,
        minimum: KiB,
        maximum: 128 * MiB,
      },
    ),
    keyBytesMax: bytes('Longest key.', {
      default: bounds.keyBytesMax,
      minimum: 1,
      maximum: 65_535,
    }),
    headersBytesMax: bytes('Most bytes of all headers of a message.', {
      default: bounds.headersBytesMax,
      maximum: 65_535,
    }),
    inFlightMessagesMax: count(
      'Unanswered messages of one connection; then it is not read. One read, 256KiB, may pass it.',
      {
        default: bounds.inFlightMessagesMax,
        minimum: 1,
        maximum: 1_000_000,
      },
    ),
    inFlightBytesMax: bytes(
      'Unanswered bytes of one connection; then it is not read. One read, 256KiB, may pass it.',
      {
        default: bounds.inFlightBytesMax,
        minimum: 64 * KiB,
      },
    ),
    globalInFlightBytesMax: bytes(
      'Unanswered bytes of all connections; then none is read. Of messages there is no such limit.',
      {
        default: 256 * MiB,
        minimum: MiB,
      },
    ),
    topicsPerConnectionMax: count('Topics one connection may open.', {
      default: bounds.topicsPerConnectionMax,
      minimum: 1,
      maximum: 65_535,
    }),
    handshakeTimeout: duration('Time for a client to finish HELLO.', {
      default: bounds.handshakeTimeoutMs,
      minimum: 100,
    }),
    idleTimeout: duration('Silence after which a connection is closed.', {
      default: bounds.idleTimeoutMs,
      minimum: 1000,
    }),
    drainTimeout: duration('Longest drain after SIGTERM.', {
      default: bounds.drainTimeoutMs,
      minimum: 0,
    }),
  },
  closed,
);

const auth = Type.Object(
  {
    mechanism: choice(['none', 'token'], 'How clients prove who they are.', { default: 'none' }),
    tokensFile: Type.Optional(path('File of tokens and their rights.', { reload: true })),
  },
  closed,
);

const rates = Type.Object(
  {
    perToken: Type.Object(
      {
        messages: orWord('off', 'count', 'Messages a second that one token may send.', {
          minimum: 1,
          reload: true,
        }),
        bytes: orWord('off', 'bytes', 'Bytes a second that one token may send.', {
          minimum: 1024,
          reload: true,
        }),
      },
      closed,
    ),
  },
  closed,
);

/**
 * Every setting of a node: its type, range, default and description, in one place. Validation,
 * flags, environment names and docs/configuration.md are made from it.
 */
export const configSchema = Type.Object(
  {
    listen: address('Where MQP is served.', { default: '127.0.0.1:7650' }),
    admin: Type.Object(
      {
        listen: address('Where health and metrics are served over HTTP.', {
          default: '127.0.0.1:7652',
        }),
      },
      closed,
    ),
    dataDir: path('The folder of the outbox and the embedded log.', { default: './data' }),
    backend: choice(['embedded', 'kafka'], 'Where messages go: the log in this node, or Kafka.', {
      default: 'embedded',
    }),
    lanes: orWord(
      'auto',
      'count',
      'Lanes, each with a store of its own; auto is max(1, cores - 2), at most 4, kept ever after.',
      { minimum: 1, maximum: 16 },
    ),
    lane,
    kafka: kafkaSection,
    failover: failoverSection,
    topics,
    outbox,
    log,
    consume: consumeSection,
    delay: delaySection,
    cluster: clusterSection,
    retry: retrySection,
    deadLetters: deadLettersSection,
    allowDegradedAck: flag('Answer `replicated` though the embedded log has no replicas.', {
      default: false,
    }),
    limits,
    auth,
    rates,
    tls: Type.Object(
      {
        cert: Type.Optional(
          path('PEM file of the certificate MQP is served with.', { reload: true }),
        ),
        key: Type.Optional(path("PEM file of that certificate's key.", { reload: true })),
      },
      closed,
    ),
    logLevel: choice(['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'What is logged.', {
      default: 'info',
      reload: true,
    }),
  },
  closed,
);

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/**
 * The effective configuration: sizes in bytes, durations in milliseconds, secrets in clear (read
 * from their files), and frozen throughout.
 */
export type Config = DeepReadonly<Static<typeof configSchema>>;
