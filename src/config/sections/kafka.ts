import { Type } from '@sinclair/typebox';
import { addresses, choice, duration, flag, path, text } from '../leaf.ts';

const closed = { additionalProperties: false };

const tls = () =>
  Type.Object(
    {
      enabled: flag('Speak TLS to the brokers.', { default: false }),
      ca: Type.Optional(path("PEM file of the authorities to trust; the system's when absent.")),
      cert: Type.Optional(path('PEM file of the client certificate.')),
      key: Type.Optional(path("PEM file of the client certificate's key.")),
    },
    closed,
  );

const sasl = () =>
  Type.Object(
    {
      mechanism: choice(['none', 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], 'How to log in.', {
        default: 'none',
      }),
      username: Type.Optional(text('The user to log in as.')),
      password: Type.Optional(text('The password to log in with.', { secret: true })),
    },
    closed,
  );

/** The clusters, and how they are written to. */
export const kafkaSection = Type.Object(
  {
    brokers: addresses('The addresses to find the cluster by.'),
    tls: tls(),
    sasl: sasl(),
    backup: Type.Object(
      {
        brokers: addresses('The addresses of a second cluster, which takes over in an outage.'),
        tls: tls(),
        sasl: sasl(),
      },
      closed,
    ),
    options: Type.Object(
      {
        linger: Type.Object(
          {
            ms: duration('How long a batch to Kafka waits for more; the outbox batches already.', {
              default: 0,
              maximum: 1000,
            }),
          },
          closed,
        ),
        compression: choice(
          ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
          'Compression of batches sent to Kafka.',
          { default: 'none' },
        ),
      },
      closed,
    ),
  },
  closed,
);
