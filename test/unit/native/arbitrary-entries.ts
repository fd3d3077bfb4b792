import { fc } from '../../support/fast-check.ts';

import { batchFrame, produceFrame, type TestEntry, type TestMessage } from './frames.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const names = fc.oneof(
  fc.constantFrom('a', 'trace', 'mq', 'mq-x', 'mqx', 'naïve', '').map((n) => Buffer.from(n)),
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
);

const messageArbitrary: fc.Arbitrary<TestMessage> = fc.record(
  {
    value: fc.oneof(
      { weight: 5, arbitrary: bytes(30) },
      { weight: 1, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant(new Uint8Array(201)) },
    ),
    key: bytes(22),
    partition: fc.constantFrom(0, 1, 2, 3, 2 ** 31, 2 ** 32 - 1),
    headers: fc.array(fc.record({ name: names, value: fc.oneof(bytes(9), fc.constant(null)) }), {
      maxLength: 4,
    }),
  },
  { requiredKeys: ['value'] },
);

const plainArbitrary: fc.Arbitrary<TestMessage> = fc.record({ value: bytes(12) });
const mixedArbitrary = fc.oneof(
  { weight: 3, arbitrary: plainArbitrary },
  { weight: 2, arbitrary: messageArbitrary },
);

/** What happens to a frame after it was built. */
const harmArbitrary = fc.oneof(
  { weight: 12, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.record({ at: fc.nat(60), byte: fc.nat(255) }) },
);

/** Sequence and correlation id mostly go on by one; now and then they jump or restart. */
const stepArbitrary = fc.record({
  jump: fc.oneof(
    { weight: 8, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.record({
        sequence: fc.constantFrom(0, 1, 77, 2 ** 32 - 2, 2 ** 48 - 3),
        correlationId: fc.constantFrom(0, 5, 2 ** 32 - 2),
      }),
    },
  ),
  topic: fc.oneof(
    { weight: 5, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.constantFrom(0, 2, 3, 4, 65_535) },
  ),
  replicated: fc.oneof(
    { weight: 5, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  messages: fc.array(mixedArbitrary, { minLength: 1, maxLength: 6 }),
  batch: fc.boolean(),
  harm: harmArbitrary,
});

type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never;

function framesOf(steps: readonly Step[], state: { sequence: number; correlationId: number }) {
  const frames: Buffer[] = [];
  for (const { jump, topic, replicated, messages, batch, harm } of steps) {
    if (jump !== undefined) Object.assign(state, jump);
    const built = batch
      ? [batchFrame({ topic, replicated, ...state }, messages)]
      : messages.slice(0, 1).map((m) => produceFrame({ topic, replicated, ...state }, m));
    const count = batch ? messages.length : 1;
    state.sequence = Math.min(state.sequence + count, 2 ** 48 - 1);
    state.correlationId = (state.correlationId + count) % 2 ** 32;
    const [first] = built;
    if (harm !== undefined && first !== undefined) first[harm.at % first.length] = harm.byte;
    frames.push(...built);
  }
  return Buffer.concat(frames);
}

/** Entries of a few connections, most of them well-formed, some harmed in one byte. */
export const entriesArbitrary: fc.Arbitrary<TestEntry[]> = fc
  .array(
    fc.record({
      connection: fc.constantFrom(0, 1, 2 ** 32 - 1),
      steps: fc.array(stepArbitrary, { maxLength: 6 }),
    }),
    { maxLength: 8 },
  )
  .map((drafts) => {
    const states = new Map<number, { sequence: number; correlationId: number }>();
    return drafts.map(({ connection, steps }) => {
      const state = states.get(connection) ?? { sequence: 1, correlationId: 1 };
      states.set(connection, state);
      return { connection, payload: framesOf(steps, state) };
    });
  });
