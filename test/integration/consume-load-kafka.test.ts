import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ConsumedMessage } from '../../sdk/ts/src/consume-types.ts';
import { ConsumerProcess } from '../support/consume-crew.ts';
import { WAIT_MS } from '../support/consume-ledger.ts';
import { Cores } from '../support/cores.ts';
import { sharedKafka } from '../support/kafka.ts';
import { redeliverMuch } from '../support/large-leases.ts';
import { metric } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const KEYS = countOf('MQP_ORDERED_KEYS', isLong ? 10_000 : 500);
const PER_KEY = 6;
const PARTITIONS = 4;
const patient = { timeoutMs: isLong ? 600_000 : WAIT_MS };

const node = await startServer({
  backend: 'kafka',
  kafkaBrokers: await sharedKafka(),
  args: ['--topics.replication-factor', '1', '--retry.attempts', '4095'],
});

async function clientOf(t: TestContext): Promise<MqpClient> {
  const client = await MqpClient.connect({ servers: [`${node.mqp.host}:${node.mqp.port}`] });
  t.after(() => client.close());
  return client;
}

const textOf = (bytes: Uint8Array | null): string => Buffer.from(bytes ?? []).toString();

/** Handlers that hold their message for a while, fail now and then, and note a broken order. */
class OrderedWork {
  readonly wrong: string[] = [];
  readonly done = new Map<string, number>();
  count = 0;
  failed = 0;
  mostAtOnce = 0;
  readonly #running = new Set<string>();
  readonly #random = new Seeded(seed);

  readonly handle = async ({ key: bytes, value, attempt }: ConsumedMessage): Promise<void> => {
    const key = textOf(bytes);
    const number = Number(textOf(value));
    const expected = this.done.get(key) ?? 0;
    if (number !== expected) this.wrong.push(`${key}: ${number} instead of ${expected}`);
    if (this.#running.has(key)) this.wrong.push(`${key}: ${number} beside another one`);
    this.#running.add(key);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running.size);
    await passing(this.#random.below(15));
    this.#running.delete(key);
    if (attempt < 3 && this.#random.below(10) === 0) {
      this.failed++;
      throw new TypeError('not yet');
    }
    this.done.set(key, number + 1);
    this.count++;
  };
}

test('keys are handled in order, failures and all, by more handlers than there are partitions', async (t) => {
  console.log(`seed=${seed}`);
  const clients = await Promise.all([clientOf(t), clientOf(t)]);
  const topic = uniqueTopic('ordered');
  await clients[0].createTopic(topic, { partitions: PARTITIONS });
  const work = new OrderedWork();
  const asked = { group: uniqueTopic('g'), topics: [topic], mode: 'key-ordered' } as const;
  const consumers = await Promise.all(
    clients.map((client) => client.subscribe({ ...asked, creditMessages: 128 })),
  );
  for (const consumer of consumers) void consumer.run(work.handle, { concurrency: 64 });
  for (let number = 0; number < PER_KEY; number++) {
    const messages = Array.from({ length: KEYS }, (_, i) => ({ key: `k${i}`, value: `${number}` }));
    await new Promise<void>((resolve, reject) => {
      clients[0].produceBatch(topic, messages, {}, (error) => (error ? reject(error) : resolve()));
    });
  }
  const isDone = () => work.count >= KEYS * PER_KEY;
  await until(isDone, { ...patient, what: 'all to be handled' });
  await Promise.all(consumers.map((consumer) => consumer.close()));
  const { mostAtOnce, failed, wrong, done, count } = work;
  console.log(`keys=${KEYS} messages=${count} failed=${failed} at once=${mostAtOnce}`);
  assert.deepEqual(wrong.slice(0, 5), []);
  assert.equal(count, KEYS * PER_KEY);
  assert(Array.from(done.values()).every((number) => number === PER_KEY));
  assert(failed > KEYS / 10, `${failed} failures`);
  assert(mostAtOnce > 2 * PARTITIONS, `${mostAtOnce} handlers at once`);
});

const SPAN_MS = isLong ? 60_000 : 2_500;
/** Beyond what it was: for a machine that does other things too. */
const ALLOWED_MS = 50;

/** Sends good messages now and then, and notes when each came. */
class GoodMessages {
  readonly #client: RawClient;
  readonly #topicId: number;
  readonly #sentMs = new Map<string, number>();
  readonly #tookMs = new Map<string, number>();
  #next = 1;

  constructor(client: RawClient, topicId: number) {
    this.#client = client;
    this.#topicId = topicId;
  }

  came(value: string): void {
    const sentMs = this.#sentMs.get(value);
    if (sentMs !== undefined) this.#tookMs.set(value, performance.now() - sentMs);
  }

  send(value: string): void {
    this.#sentMs.set(value, performance.now());
    this.#client.send({ topic: this.#topicId, first: this.#next++, values: [value] });
  }

  /** How long messages take for a while: half of them, nineteen of twenty, and 99 of 100, in ms. */
  async measure(name: string): Promise<{ p50: number; p95: number; p99: number }> {
    const values: string[] = [];
    for (const endMs = performance.now() + SPAN_MS; performance.now() < endMs; ) {
      const value = `${name}-${values.length}`;
      values.push(value);
      this.send(value);
      await passing(5);
    }
    const isThere = () => values.every((value) => this.#tookMs.has(value));
    await until(isThere, { ...patient, what: `all of ${name} to come` });
    const tookMs = values.map((value) => this.#tookMs.get(value) as number).sort((a, b) => a - b);
    const at = (part: number): number => tookMs[Math.floor(tookMs.length * part)] as number;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}

test('poison, a handler that holds its message, and a group that is dead slow down no other message', async () => {
  const topic = uniqueTopic('mixed');
  const client = await RawClient.connect(node.mqp);
  const { topicId } = await client.open(topic);
  const good = new GoodMessages(client, topicId);
  const asked = { group: uniqueTopic('g'), topics: [topic], leaseMs: 600_000 };
  const consumer = await RawConsumer.open(node.mqp, asked);
  const held: RawDelivery[] = [];
  let poisoned = 0;
  const settling: Promise<unknown>[] = [];
  consumer.onDelivered = (messages) => {
    const isPoison = ({ value }: RawDelivery) => value.startsWith('poison');
    const isHeld = ({ value }: RawDelivery) => value.startsWith('held');
    const poison = messages.filter(isPoison);
    held.push(...messages.filter(isHeld));
    const fine = messages.filter((message) => !isPoison(message) && !isHeld(message));
    for (const { value } of fine) good.came(value);
    poisoned += poison.length;
    if (fine.length > 0) settling.push(consumer.ack(fine));
    // Some come again at once and cost most, others wait, which must hold nobody up.
    const quick = poison.filter(({ offset }) => offset % 2 === 0);
    const slow = poison.filter(({ offset }) => offset % 2 === 1);
    if (quick.length > 0) settling.push(consumer.nack(quick, 20));
    if (slow.length > 0) settling.push(consumer.nack(slow, 1_500));
  };
  await good.measure('warm');
  const cores = new Cores();
  const before = await good.measure('before');

  const at = ['--server', `${node.mqp.host}:${node.mqp.port}`];
  const dead = new ConsumerProcess([
    'consume',
    topic,
    ...at,
    '--group',
    uniqueTopic('dead'),
    '--json',
  ]);
  await until(() => dead.printed.length > 0, { ...patient, what: 'the other group to read' });
  dead.signal('SIGSTOP');
  for (let i = 0; i < 12; i++) good.send(`poison${i}`);
  for (let i = 0; i < 3; i++) good.send(`held${i}`);
  await until(() => poisoned > 10 && held.length === 3, { ...patient, what: 'poison to come' });
  const isAsBefore = (now: typeof before): boolean =>
    now.p50 <= 2 * before.p50 + ALLOWED_MS && now.p95 <= 2 * before.p95 + ALLOWED_MS;
  const say = ({ p50, p95 }: typeof before): string => `${p50.toFixed(1)}/${p95.toFixed(1)} ms`;
  let beside = await good.measure('beside');
  // The machine does other things too: only what stays slow is slow because of the bad ones.
  for (let more = 0; more < 2 && !isAsBefore(beside); more++) {
    beside = await good.measure(`beside${more}`);
  }
  const measured = `p50/p95 before ${say(before)}, beside ${say(beside)}, poison came ${poisoned} times`;
  assert(poisoned > 100, `poison came ${poisoned} times`);
  assert.equal(held.length, 3, 'what is held comes once');
  if (cores.wereThere(measured))
    assert(isAsBefore(beside), `${say(beside)} beside, and ${say(before)} before`);
  assert.deepEqual(await consumer.ack(held, true), []);
  assert((await metric(node, 'mqproxy_consume_expired_leases_total')) === 0);
  await dead.kill();
  // Poison goes round for ever.
  consumer.onDelivered = () => {};
  await Promise.all(settling);
});

/** Messages of the hot topic that are out at most, and how often those are acked, in ms. */
const HOT_CREDIT = 64;
const HOT_MS = 20;
/** More of them than can be acked while the others are measured. */
const HOT = Math.ceil((5 * SPAN_MS) / HOT_MS) * HOT_CREDIT;

test('a topic with a long backlog does not make those of another one late that shares its consumer', async (t) => {
  const [topic, hot] = [uniqueTopic('calm'), uniqueTopic('hot')];
  const producer = await clientOf(t);
  await fill(producer, hot, HOT);
  const client = await RawClient.connect(node.mqp);
  const { topicId } = await client.open(topic);
  const good = new GoodMessages(client, topicId);
  const alone = await SlowConsumer.open(good, { group: uniqueTopic('g'), topics: [topic] });
  await good.measure('warm');
  const cores = new Cores();
  const before = await good.measure('before');
  await alone.close();
  const group = uniqueTopic('g');
  const both = await SlowConsumer.open(good, { group, topics: [topic, hot] });
  await until(() => both.hot > HOT_CREDIT, { ...patient, what: 'the backlog to come' });
  const isAsBefore = (now: typeof before): boolean =>
    now.p99 <= 2 * before.p99 + ALLOWED_MS + HOT_MS;
  let beside = await good.measure('beside');
  // The machine does other things too.
  for (let more = 0; more < 2 && !isAsBefore(beside); more++) {
    beside = await good.measure(`beside${more}`);
  }
  assert(both.hot < HOT, 'the backlog lasted');
  await both.close();
  const say = `p99 alone ${before.p99.toFixed(1)} ms, beside ${beside.p99.toFixed(1)} ms`;
  if (cores.wereThere(say)) assert(isAsBefore(beside), say);
});

test('of two topics that are both behind a consumer gets as much of each, whatever the backlog of one', async (t) => {
  const [topic, hot] = [uniqueTopic('calm'), uniqueTopic('hot')];
  const producer = await clientOf(t);
  await fill(producer, hot, 10_000);
  await fill(producer, topic, 100);
  const asked = { group: uniqueTopic('g'), topics: [topic, hot], creditMessages: HOT_CREDIT };
  const consumer = await RawConsumer.open(node.mqp, asked);
  const came = await consumer.take(HOT_CREDIT, patient.timeoutMs);
  const { partitions } = await producer.groups.describe(asked.group);
  assert.equal(partitions.length, 2 * PARTITIONS);
  const isRead = async () => {
    const labels = `cluster="primary",group="${asked.group}",topic="${topic}"`;
    return (await metric(node, `mqproxy_consume_window_messages{${labels}}`)) > 0;
  };
  const calm = () => came.filter((message) => message.topic === topic).length;
  if (calm() === 0) await until(isRead, { ...patient, what: 'the calm topic to be read' });
  for (let acked = 0; calm() < 100; acked++) {
    assert(
      acked < 400,
      `${calm()} of the calm topic came, and ${came.length - calm()} of the other`,
    );
    assert.deepEqual(await consumer.ack(came.slice(acked, acked + 1)), []);
    came.push(...(await consumer.take(1, patient.timeoutMs)));
  }
  await consumer.unsubscribe();
});

/** A topic with so many messages over all its partitions. */
async function fill(client: MqpClient, topic: string, count: number): Promise<void> {
  await client.createTopic(topic, { partitions: PARTITIONS });
  for (let from = 0; from < count; from += 10_000) {
    const length = Math.min(10_000, count - from);
    const messages = Array.from({ length }, (_, i) => ({ key: `${i % 97}`, value: 'hot' }));
    await new Promise<void>((resolve, reject) => {
      client.produceBatch(topic, messages, {}, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Acks good messages at once, and others now and then: there are always some out. */
class SlowConsumer {
  /** Others that came. */
  hot = 0;
  readonly #consumer: RawConsumer;
  readonly #good: GoodMessages;
  readonly #settling: Promise<unknown>[] = [];
  #waiting: RawDelivery[] = [];
  readonly #timer: NodeJS.Timeout;

  static async open(good: GoodMessages, asked: { group: string; topics: string[] }) {
    const more = { creditMessages: HOT_CREDIT, leaseMs: 600_000 };
    return new SlowConsumer(good, await RawConsumer.open(node.mqp, { ...asked, ...more }));
  }

  private constructor(good: GoodMessages, consumer: RawConsumer) {
    this.#good = good;
    this.#consumer = consumer;
    consumer.onDelivered = (messages) => this.#take(messages);
    this.#take(consumer.got.splice(0));
    // tidy-allow sleep: a consumer that is slow, for as long as the test measures
    this.#timer = setInterval(() => {
      this.#ack(this.#waiting);
      this.#waiting = [];
    }, HOT_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#consumer.onDelivered = () => {};
    await Promise.all(this.#settling);
    await this.#consumer.unsubscribe();
  }

  #take(messages: readonly RawDelivery[]): void {
    const others = messages.filter(({ value }) => value === 'hot');
    const fine = messages.filter(({ value }) => value !== 'hot');
    for (const { value } of fine) this.#good.came(value);
    this.#ack(fine);
    this.hot += others.length;
    this.#waiting.push(...others);
  }

  #ack(messages: readonly RawDelivery[]): void {
    if (messages.length > 0) this.#settling.push(this.#consumer.ack(messages));
  }
}

test('more than is kept in memory comes again whole', async () => {
  await redeliverMuch(node.mqp, uniqueTopic('large'), uniqueTopic('g'));
});
