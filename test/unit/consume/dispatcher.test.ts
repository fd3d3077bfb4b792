import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { type Delivered, EngineUnderTest, type FakeReceiver } from './engine-doubles.ts';

const STEP_MS = 10;
const STEPS_MAX = 2_000;

function valuesOf(count: number, name: string): { value: string }[] {
  return Array.from({ length: count }, (_, i) => ({ value: `${name}${i}` }));
}

/** How many turns a message of `quiet` waited at most, and how many of `hot` came before it. */
async function waitOfQuiet(backlog: number): Promise<{ turns: number; ahead: number }> {
  const cluster = new MemoryCluster();
  for (const topic of ['hot', 'quiet']) cluster.addTopic(topic, 1);
  cluster.append('hot', 0, ...valuesOf(backlog, 'h'));
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ topics: ['hot', 'quiet'], creditMessages: 64 });
  let slowest = { turns: 0, ahead: 0 };
  // As long as the backlog lasts, one message of the other topic after the other.
  for (let quiet = 0; quiet < 20; quiet++) {
    cluster.append('quiet', 0, { value: `q${quiet}` });
    let turns = 0;
    let ahead = 0;
    for (; turns < STEPS_MAX; turns++) {
      const got = client.take();
      const at = got.findIndex(({ topic }) => topic === 'quiet');
      ahead += at < 0 ? got.length : at;
      if (got.length > 0) under.ack(got);
      if (at >= 0) break;
      await under.pass(STEP_MS);
    }
    slowest = {
      turns: Math.max(slowest.turns, turns),
      ahead: Math.max(slowest.ahead, ahead),
    };
  }
  return slowest;
}

test('a topic with a long backlog makes no message of another one wait for more than a turn', async () => {
  const alone = await waitOfQuiet(0);
  const beside = await waitOfQuiet(20_000);
  // All that is ahead was given out before the quiet message was there, or shares its turn.
  assert(beside.ahead <= 2 * 64, `${beside.ahead} messages were ahead`);
  assert(beside.turns <= alone.turns + 2, `${beside.turns} turns, alone ${alone.turns}`);
});

/** Handles everything that comes, as a consumer does that nothing ails. */
function handleAll(under: EngineUnderTest, client: FakeReceiver, done: Set<string>): void {
  const got = client.take();
  if (got.length === 0) return;
  under.ack(got);
  for (const { value } of got) done.add(value);
}

/** How long two groups take for 2,000 messages each, in ms of the engine's clock. */
async function drainMs(isDisturbed: boolean): Promise<{ ms: number; poison: number }> {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(2_000, 'm'));
  const under = new EngineUnderTest(cluster);
  under.policy.next = () => ({ kind: 'retry', delayMs: 0 });
  let poison = 0;
  const ills: FakeReceiver[] = [];
  if (isDisturbed) {
    // A group that acks nothing, and one that does not even read.
    const dead = await under.subscribe({ group: 'dead', leaseMs: 60_000 });
    const clogged = await under.subscribe({ group: 'clogged', leaseMs: 60_000 });
    clogged.isClogged = true;
    // In the groups that are well: a handler that takes a minute, and one that refuses all it gets.
    const slow = await under.subscribe({ leaseMs: 60_000, creditMessages: 1 });
    const refusing = await under.subscribe({ creditMessages: 1 });
    ills.push(dead, clogged, slow, refusing);
    assert.equal(slow.got.length, 1);
  }
  const wells = [await under.subscribe({ creditMessages: 50 })];
  wells.push(await under.subscribe({ group: 'other', creditMessages: 50 }));
  const done = wells.map(() => new Set<string>());
  const began = under.clock.now();
  // All but what the slow handler and the refusing one hold.
  const isDone = (): boolean => done.every((one) => one.size >= 2_000 - 2);
  for (let step = 0; step < STEPS_MAX && !isDone(); step++) {
    const refused = ills[3]?.take() ?? [];
    poison += refused.length;
    if (refused.length > 0) under.nack(refused);
    for (const [i, client] of wells.entries()) {
      handleAll(under, client, done[i] as Set<string>);
    }
    await under.pass(STEP_MS);
  }
  assert(isDone(), `${done.map(({ size }) => size)} of 2,000 were handled`);
  return { ms: under.clock.now() - began, poison };
}

test('a poison message, a handler of a minute and dead groups take no time from anybody else', async () => {
  const clean = await drainMs(false);
  const disturbed = await drainMs(true);
  assert(disturbed.poison > 10, 'the poison came again and again');
  // The groups read by themselves, and each message that fails takes one of a turn.
  const most = clean.ms + disturbed.poison * STEP_MS * (1 / 50) + 3 * STEP_MS;
  assert(disturbed.ms <= most, `${disturbed.ms} ms, undisturbed ${clean.ms} ms`);
});

test('of a partition in order nothing passes what a lost connection has, whoever comes then', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(6, 'm'));
  const under = new EngineUnderTest(cluster);
  const asked = { mode: 'partition-ordered', leaseMs: 60_000, creditMessages: 3 } as const;
  const one = await under.subscribe(asked);
  const got = one.take();
  under.engine.connectionLost(one.id);
  const other = await under.subscribe({ ...asked, creditMessages: 100 });
  // Who has them may come back on another connection, and goes on.
  under.extend(got.slice(1), 8_000);
  await under.pass(4_000);
  under.ack(got.slice(0, 2));
  await under.pass(3_000);
  assert.deepEqual(other.take(), []);
  await under.pass(1_100);
  assert.deepEqual(
    other.take().map(({ offset, attempt }) => [offset, attempt]),
    [
      [2, 2],
      [3, 1],
      [4, 1],
      [5, 1],
    ],
  );
});

test('a partition in order goes on as soon as all is settled that a lost connection had', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(6, 'm'));
  const under = new EngineUnderTest(cluster);
  const one = await under.subscribe({ mode: 'partition-ordered', creditMessages: 3 });
  const got = one.take();
  under.engine.connectionLost(one.id);
  const other = await under.subscribe();
  assert.deepEqual(other.take(), []);
  under.commit(got[2] as (typeof got)[0]);
  await under.pass(20);
  assert.deepEqual(
    other.take().map(({ offset }) => offset),
    [3, 4, 5],
  );
});

test('of partitions in order none waits for a subscription that takes nothing more', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 4);
  const under = new EngineUnderTest(cluster);
  const leaving = await under.subscribe({ mode: 'partition-ordered' });
  const other = await under.subscribe();
  const appendEverywhere = (value: string) => {
    for (let partition = 0; partition < 4; partition++) cluster.append('t', partition, { value });
  };
  appendEverywhere('a');
  await under.pass(20);
  const [kept, ...rest] = leaving.take();
  assert(kept !== undefined && rest.length > 0, 'it has two partitions');
  under.ack(rest);
  under.ack(other.take());
  under.engine.credit(leaving.id, leaving.sub.subscription, { messages: 9, bytes: 0 });
  appendEverywhere('b');
  await under.pass(20);
  const got = other.take().map(({ partition }) => partition);
  assert.deepEqual(
    got.sort(),
    [0, 1, 2, 3].filter((partition) => partition !== kept.partition),
    'all but the one that it has still something of',
  );
  under.ack([kept]);
  await under.pass(20);
  assert.deepEqual(
    other.take().map(({ partition }) => partition),
    [kept.partition],
  );
});

const LONG = 'x'.repeat(900);

/** A consumer that always has something in work: of what it has it acks the older half a turn. */
class Steady {
  readonly held: Delivered[] = [];
  readonly #under: EngineUnderTest;
  readonly #client: FakeReceiver;

  constructor(under: EngineUnderTest, client: FakeReceiver) {
    this.#under = under;
    this.#client = client;
  }

  /** Whether the long message has come. */
  turn(): boolean {
    this.held.push(...this.#client.take());
    if (this.held.some(({ value }) => value === LONG)) return true;
    const done = this.held.splice(0, Math.ceil(this.held.length / 2));
    if (done.length > 0) this.#under.ack(done);
    return false;
  }
}

test('a long message comes when what was out before it is settled, though shorter ones are there', async () => {
  const cluster = new MemoryCluster();
  for (const topic of ['hot', 'quiet', 'warm']) cluster.addTopic(topic, 1);
  cluster.append('hot', 0, ...valuesOf(5_000, 'h'));
  cluster.append('warm', 0, ...valuesOf(5_000, 'w'));
  const under = new EngineUnderTest(cluster);
  const asked = { topics: ['hot', 'quiet', 'warm'], creditBytes: 1_000 };
  const one = new Steady(under, await under.subscribe(asked));
  // Who reads the other topics alone must not make it lose its place.
  const other = new Steady(under, await under.subscribe({ ...asked, topics: ['hot', 'warm'] }));
  cluster.append('quiet', 0, { value: LONG });
  let turns = 0;
  for (; turns < STEPS_MAX && !one.turn(); turns++) {
    other.turn();
    await under.pass(STEP_MS);
  }
  assert(turns < 10, `${turns} turns`);
  assert(other.held.length > 0, 'the other one is not held up');
});

test('a long message that failed comes again before shorter ones that were never out', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, { value: LONG }, ...valuesOf(5_000, 'm'));
  const under = new EngineUnderTest(cluster);
  under.policy.next = () => ({ kind: 'retry', delayMs: 0 });
  const client = await under.subscribe({ creditBytes: 2_000, creditMessages: 40 });
  const [long, ...shorter] = client.take();
  assert.deepEqual([long?.value, shorter.length], [LONG, 39]);
  const one = new Steady(under, client);
  one.held.push(...shorter);
  under.engine.credit(client.id, client.sub.subscription, { messages: 1_000, bytes: 1_000 });
  under.nack([long as Delivered]);
  let turns = 0;
  for (; turns < STEPS_MAX && !one.turn(); turns++) await under.pass(STEP_MS);
  assert(turns < 10, `${turns} turns`);
});

test('a long message that waits for its key holds no shorter ones back', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const under = new EngineUnderTest(cluster);
  const asked = { mode: 'key-ordered', creditBytes: 1_000 } as const;
  cluster.append('t', 0, { value: 'first', key: 7 });
  const other = await under.subscribe({ ...asked, creditMessages: 1 });
  cluster.append('t', 0, { value: 'short', key: 1 });
  const client = await under.subscribe(asked);
  assert.deepEqual([other.got.length, client.got.length], [1, 1]);
  cluster.append('t', 0, { value: LONG.repeat(2), key: 7 });
  cluster.append('t', 0, ...[2, 3, 4].map((key) => ({ value: `m${key}`, key })));
  await under.pass(100);
  assert.deepEqual(
    client.take().map(({ value }) => value),
    ['short', 'm2', 'm3', 'm4'],
  );
  under.ack(other.take());
  await under.pass(100);
  assert.deepEqual(
    other.take().map(({ offset }) => offset),
    [2],
  );
});

const frameBytesMax = 16 * 1024;

for (const mode of ['shared', 'key-ordered', 'partition-ordered'] as const) {
  test(`what fits no frame goes to the dead letters, and the rest is delivered, ${mode}`, async () => {
    const cluster = new MemoryCluster();
    cluster.addTopic('t', 1);
    const long = { value: 'x'.repeat(frameBytesMax), key: 7 };
    cluster.append('t', 0, { value: 'a', key: 7 }, long, { value: 'b', key: 7 }, long, long);
    cluster.append('t', 0, ...valuesOf(40, 'y'.repeat(1_000)));
    const under = new EngineUnderTest(cluster, { frameBytesMax });
    under.policy.next = ({ cause }) =>
      cause === 'dead' ? { kind: 'move' } : { kind: 'retry', delayMs: 0 };
    const client = await under.subscribe({ mode, creditMessages: 2 });
    const done: number[] = [];
    for (let step = 0; step < STEPS_MAX && done.length < 42; step++) {
      const got = client.take();
      done.push(...got.map(({ offset }) => offset));
      under.ack(got);
      await under.pass(STEP_MS);
    }
    // What waits for its key comes behind what waits for nothing.
    if (mode === 'key-ordered') done.sort((a, b) => a - b);
    assert.deepEqual(done, [0, 2, ...Array.from({ length: 40 }, (_, i) => i + 5)]);
    assert.deepEqual(
      under.policy.moved.map((one) => one.split(':')[0]),
      ['1', '3', '4'],
    );
    const words = 'a record of 16405 bytes fits no frame of limits.frameBytesMax';
    assert(under.policy.failures.every(({ reason, attempt }) => reason === words && attempt === 1));
    for (const { body } of client.frames) assert(8 + body.length <= frameBytesMax);
    await under.pass(200);
    assert.equal(cluster.commits.get('g/t/0')?.offset, 45);
  });
}

test('what fits no frame leaves the credit as it was of who holds other messages', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(1, 'y'.repeat(1_000)));
  const under = new EngineUnderTest(cluster, { frameBytesMax });
  under.policy.next = () => ({ kind: 'move' });
  await under.subscribe({ creditMessages: 2 });
  const [sub] = under.engine.groupOf('g').subs;
  assert(sub !== undefined);
  const { outBytes } = sub;
  assert.deepEqual([sub.out, outBytes > 1_000], [1, true]);
  cluster.append('t', 0, ...valuesOf(20, 'x'.repeat(frameBytesMax)));
  await under.pass(100);
  assert.equal(under.policy.moved.length, 20);
  assert.deepEqual([sub.out, sub.outBytes], [1, outBytes]);
});

test('runs keep to the frame, however much a consumer would take', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(200, 'x'.repeat(1_000)));
  const under = new EngineUnderTest(cluster, { frameBytesMax });
  const client = await under.subscribe({ creditMessages: 200 });
  assert.equal(client.take().length, 200);
  for (const { body } of client.frames) assert(8 + body.length <= frameBytesMax);
});

test('partitions in order are shared out evenly, also after some were lost and given back', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 6);
  const under = new EngineUnderTest(cluster);
  const subs = [await under.subscribe({ mode: 'partition-ordered' }), await under.subscribe()];
  /** Partitions that each of them gets messages of. */
  const share = async (): Promise<number[]> => {
    for (let partition = 0; partition < 6; partition++) cluster.append('t', partition, {});
    await under.pass(100);
    return subs.map((client) => {
      const got = client.take();
      if (got.length > 0) under.ack(got);
      return new Set(got.map(({ partition }) => partition)).size;
    });
  };
  assert.deepEqual(await share(), [3, 3]);
  const [member] = cluster.members;
  for (let i = 0; i < 3; i++) {
    await under.pass(150);
    member?.lose();
    member?.setTopics(['t']);
    await under.pass(100);
    assert.deepEqual(await share(), [3, 3]);
  }
  subs.push(await under.subscribe());
  await share();
  assert.deepEqual(await share(), [2, 2, 2]);
});

test('what was too old to be given out is committed, though nobody acks anything', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...valuesOf(5, 'old'));
  const under = new EngineUnderTest(cluster);
  under.policy.ttlMs = 1_000;
  const client = await under.subscribe();
  await under.pass(200);
  assert.deepEqual([client.take().length, under.policy.stale], [0, 5]);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 5);
});

test('credit of no bytes holds deliveries, also while nothing is out', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.engine.credit(client.id, client.sub.subscription, { messages: 10, bytes: 0 });
  cluster.append('t', 0, ...valuesOf(3, 'm'));
  await under.pass(100);
  assert.equal(client.take().length, 0);
  under.engine.credit(client.id, client.sub.subscription, { messages: 10, bytes: 1 });
  await under.pass(100);
  assert.equal(client.take().length, 1);
});
