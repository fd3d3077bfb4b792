import { Type } from '@sinclair/typebox';
import { ATTEMPT_MAX } from '../../consume/lease/block.ts';
import { choice, count, duration, durations, orWord } from '../leaf.ts';

const minute = 60_000;
const day = 24 * 60 * minute;
const closed = { additionalProperties: false };

const texts = {
  attempts: 'Deliveries of a message before it counts as exhausted.',
  min: 'Wait after the first failure; each later one waits twice as long.',
  max: 'Longest wait between two deliveries.',
  jitter: 'How far a wait may differ from its value, in percent, either way.',
  table: 'Waits after the first, second, … failure; the last one repeats. Replaces min and max.',
  onExhausted:
    'What becomes of an exhausted message: it moves to the dead letters, or blocks its place until its group is resumed or the node starts again.',
  ttl: 'Age, since it was written to its topic, from which a message is dropped undelivered.',
  burst: 'Dead letters that may be moved at once, before the budget holds exhausted messages back.',
  perMinute: 'Dead letters a minute that the budget allows in any case.',
  perHundred: 'Dead letters that a hundred acknowledged messages allow.',
};

/** Beyond what is counted a message would never be exhausted. */
const attempts = { minimum: 1, maximum: ATTEMPT_MAX };
const inPlace = { minimum: 1, maximum: 60 * minute };
const wait = { minimum: 1, maximum: 400 * day };
const percent = { maximum: 100 };
const ttl = { minimum: 1000, maximum: 400 * day };
const tokens = { maximum: 1_000_000_000 };

const actions = ['dead', 'block'] as const;

/** What one (topic, group) may set for itself; what it leaves out is the general setting. */
const policy = Type.Object(
  {
    attempts: Type.Optional(count(texts.attempts, attempts)),
    backoff: Type.Object(
      {
        min: Type.Optional(duration(texts.min, wait)),
        max: Type.Optional(duration(texts.max, wait)),
        jitterPercent: Type.Optional(count(texts.jitter, percent)),
        table: Type.Optional(durations(texts.table)),
      },
      closed,
    ),
    onExhausted: Type.Optional(choice(actions, texts.onExhausted)),
    ttl: Type.Optional(orWord('off', 'duration', texts.ttl, { ...ttl, default: undefined })),
    budget: Type.Object(
      {
        burst: Type.Optional(count(texts.burst, tokens)),
        perMinute: Type.Optional(count(texts.perMinute, tokens)),
        perHundredAcks: Type.Optional(count(texts.perHundred, tokens)),
      },
      closed,
    ),
  },
  closed,
);

/** What becomes of a message that a consumer could not handle. */
export const retrySection = Type.Object(
  {
    attempts: count(texts.attempts, { ...attempts, default: 16 }),
    backoff: Type.Object(
      {
        min: duration(texts.min, { ...wait, default: 1000 }),
        max: duration(texts.max, { ...wait, default: 10 * minute }),
        jitterPercent: count(texts.jitter, { ...percent, default: 20 }),
        table: durations(texts.table, { default: [] }),
      },
      closed,
    ),
    inPlaceMax: duration('Longest wait that a message may spend in its place in the topic.', {
      ...inPlace,
      default: 10 * minute,
    }),
    onExhausted: choice(actions, texts.onExhausted, { default: 'dead' }),
    ttl: orWord('off', 'duration', texts.ttl, ttl),
    budget: Type.Object(
      {
        burst: count(texts.burst, { ...tokens, default: 1000 }),
        perMinute: count(texts.perMinute, { ...tokens, default: 60 }),
        perHundredAcks: count(texts.perHundred, { ...tokens, default: 10 }),
      },
      closed,
    ),
    policies: Type.Record(Type.String(), policy, {
      default: {},
      description: 'Settings of single topics and groups, by `TOPIC/GROUP`; `*` ends either.',
    }),
  },
  closed,
);

/** The topics `TOPIC.GROUP.dlq` as the node makes them. */
export const deadLettersSection = Type.Object(
  {
    retention: orWord(
      'forever',
      'duration',
      'How long dead letters are kept. What was put off: seven days beyond its longest wait at least.',
      {
        minimum: 60 * minute,
        maximum: 3650 * day,
        default: 30 * day,
      },
    ),
    partitions: count('Partitions of a dead-letter topic.', {
      default: 1,
      minimum: 1,
      maximum: 1000,
    }),
    replicationFactor: orWord(
      'auto',
      'count',
      'Replicas of a dead-letter topic; auto is 3, or the number of brokers when that is lower.',
      { minimum: 1, maximum: 32 },
    ),
  },
  closed,
);
