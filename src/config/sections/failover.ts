import { Type } from '@sinclair/typebox';
import { duration, flag } from '../leaf.ts';

const minute = 60_000;

/** When the backup cluster takes over, and when the primary is trusted again. */
export const failoverSection = Type.Object(
  {
    openAfter: duration(
      'How long a topic may have nothing confirmed, or a cluster be silent, until its circuit opens.',
      { default: 3000, minimum: 500, maximum: 10 * minute },
    ),
    failbackAfter: duration('How long the primary must be well again before it is used.', {
      default: 30_000,
      minimum: 500,
      maximum: 60 * minute,
    }),
    createTopics: flag(
      "Create topics that the backup lacks, with the primary's partitions; else they wait.",
      { default: true },
    ),
  },
  { additionalProperties: false },
);
