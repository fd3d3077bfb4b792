import { Type } from '@sinclair/typebox';
import { count, duration, flag, text } from '../leaf.ts';

const closed = { additionalProperties: false };

/** Groups, and what they share with those of other nodes. */
export const consumeSection = Type.Object(
  {
    ackCommit: duration('Longest wait of an ack until the commit that carries it begins.', {
      default: 100,
      minimum: 1,
      maximum: 60_000,
    }),
    ackCommitCount: count('Acks of a group after which a commit begins at once.', {
      default: 10_000,
      minimum: 1,
      maximum: 10_000_000,
    }),
  },
  closed,
);

/** Delayed messages, and long retries, which are such. */
export const delaySection = Type.Object(
  {
    enabled: flag('Whether this node takes, keeps and fires delayed messages.', { default: true }),
  },
  closed,
);

/** What the nodes of one installation have in common. */
export const clusterSection = Type.Object(
  {
    secret: Type.Optional(
      text(
        'Signs lease tokens; the same on every node that shares groups. Made on first start, as ' +
          'the file cluster.secret of the data folder, when absent.',
        { secret: true, minLength: 16 },
      ),
    ),
  },
  closed,
);
