import { type Spoil, spoiltBuild } from '../support/spoilt-build.ts';

/**
 * A place in the program at which a node can be made to die. The shipped program knows nothing of
 * them: they are put into a copy of the build, and a place that is not there any more fails.
 */
export interface KillPoint {
  /** `ROOM.WHAT`: what has happened when it dies there. */
  readonly name: string;
  /** From the build's root. */
  readonly file: string;
  /** The statement, as the build has it. */
  readonly statement: string;
  readonly at: 'before' | 'after';
  /** Passed only while a node starts, or once in a while: the draw of passings stays small. */
  readonly isRare?: boolean;
}

type Row = readonly [name: string, at: 'before' | 'after', statement: string, isRare?: boolean];

const of = (file: string, ...rows: readonly Row[]): KillPoint[] =>
  rows.map(([name, at, statement, isRare = false]) => ({ name, file, statement, at, isRare }));

const outbox = 'src/produce/journal/outbox-journal.js';
const store = 'src/store/key-value-lane-store.js';

/** Points that a node with an outbox passes under load. */
export const killPoints: readonly KillPoint[] = [
  ...of(
    'src/produce/lane.js',
    ['lane.taken', 'after', 'this.inHand = batch;'],
    ['lane.before-write', 'before', 'const written = journal.append(batch);'],
    ['lane.writing', 'after', 'const written = journal.append(batch);'],
    ['lane.written', 'after', 'await written;'],
    ['lane.answers-staged', 'after', 'stats.add(stat.batches, 1);'],
    ['lane.answered', 'after', 'this.answer(batch);'],
  ),
  ...of('src/lanes/lane-link.js', ['link.answers-taken', 'before', 'hooks.onAnswers(']),
  ...of('src/lanes/lane-link.js', ['link.offered', 'before', 'frames.copy(']),
  ...of(
    outbox,
    ['outbox.encoded', 'after', 'this.payloadCrc = builder.payloadCrc;'],
    ['outbox.before-sending', 'before', 'this.forwarder?.forward(batch, payload);'],
    ['outbox.before-confirmed', 'before', 'stats.add(stat.confirmed, store.confirm('],
    ['outbox.confirmed', 'before', 'this.pending.confirm('],
  ),
  ...of(
    store,
    ['store.sealed', 'after', 'const crc = headerCrc(header);'],
    ['store.appended', 'before', 'this.#parts.mark.reach('],
    ['store.riders-staged', 'after', 'this.#state.stage(ops, fold);'],
    ['store.idle-flush', 'before', 'await this.#flushRiders(false);', true],
    ['store.idle-flushed', 'after', 'await this.#flushRiders(false);', true],
  ),
  ...of('src/store/confirmed-state.js', [
    'store.freed',
    'after',
    'ops.push({ key: payloadKey(firstSequence), value: undefined });',
  ]),
  ...of(
    'src/store/high-water-mark.js',
    ['mark.before-write', 'before', 'await this.#file.write(slot, 0, SLOT_BYTES, at);', true],
    ['mark.written', 'after', 'await this.#file.write(slot, 0, SLOT_BYTES, at);', true],
    ['mark.synced', 'after', 'await this.#file.datasync();', true],
  ),
  ...of('src/produce/sending/resend-log.js', [
    'resends.before-note',
    'before',
    'appendFileSync(this.path, lines',
    true,
  ]),
  ...of('src/produce/sending/sender.js', [
    'sender.sent',
    'after',
    'const result = this.producer.produce(request);',
  ]),
  ...of('src/produce/intake/producers.js', ['open.windows', 'before', 'const puts = [];', true]),
  ...of('src/store/open-lane-store.js', [
    'open.proved',
    'after',
    'const recovered = await recover({ kv, chunks, lane, crc32c, mark: mark ?? NOTHING });',
    true,
  ]),
  ...of('src/store/open-lane-store.js', [
    'open.mark-restarted',
    'before',
    'if (recovered.anchor.nextSequence === FIRST_SEQUENCE) {',
    true,
  ]),
];

/** Points around a final refusal of Kafka. */
export const refusalPoints: readonly KillPoint[] = of(
  outbox,
  ['refusal.known', 'before', "const entries = await store.aside.put('undeliverable', refusals);"],
  ['refusal.durable', 'after', "const entries = await store.aside.put('undeliverable', refusals);"],
);

/**
 * Places in the native code, which the preload library sees by the calls of librdkafka around them
 * (`preload/kill.c`). Under load a node passes them all the time.
 */
export const nativePoints: readonly string[] = [
  'native.before-produce',
  'native.produced',
  'native.reports-read',
  'native.reports-counted',
  'native.reports-handed-up',
];

/** Native places that a node passes when it gives a producer up that had messages. */
export const renewPoints: readonly string[] = [
  'native.before-purge',
  'native.purged',
  'native.before-destroy',
];

/** A copy of the build that dies where {@link killPointEnv} says. */
export function killPointBuild(points: readonly KillPoint[]): string {
  return spoiltBuild(...points.map(spoilOf));
}

/** The life that is started with it dies when it passes the point for the n-th time. */
export function killPointEnv(
  { name }: Pick<KillPoint, 'name'>,
  passing: number,
): Record<string, string> {
  return { MQ_KILL_POINT: name, MQ_KILL_AT: String(passing) };
}

function spoilOf({ name, file, statement, at }: KillPoint): Spoil {
  const die =
    `if (process.env.MQ_KILL_POINT === '${name}' && ` +
    '(globalThis.mqPassed = (globalThis.mqPassed ?? 0) + 1) === Number(process.env.MQ_KILL_AT)) ' +
    "process.kill(process.pid, 'SIGKILL');";
  const escaped = statement.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const find = new RegExp(`(${escaped})`);
  return { file, find, replace: at === 'before' ? `${die} $1` : `$1 ${die}` };
}
