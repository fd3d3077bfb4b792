import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsumerCrew, type ConsumerProcess, MortalNode } from '../support/consume-crew.ts';
import { startConsumeNode } from '../support/consume-ledger.ts';
import { Cores } from '../support/cores.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { countOf } from '../support/seeded.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const KILLS = countOf('MQP_CONSUME_KILLS', isLong ? 30 : 5);
const RATE = countOf('MQP_CONSUME_RATE', 1_000);
/** A member that says nothing for so long is taken out of its group by Kafka. */
const SESSION_MS = 6_000;
/** For the group to share its partitions anew, and for a machine that does other things. */
const ALLOWED_MS = 3_000;
const SERVING_MS = 10_000;
/** `consume.ackCommit`. */
const COMMIT_MS = 100;
/** That and a round trip, however slow the machine makes it. */
const FORGOTTEN_MS = 1_000;
/** Messages that a consumer of the crew may have out, one that handles none, and all together. */
const CREDIT = 40;
const HELD = 16;
const OUT_MAX = 4 * CREDIT + 64 + HELD;
const patient = { timeoutMs: 60_000 };

const EXPIRED = 'mqproxy_consume_expired_leases_total';
/** What nodes gave out again because its owner was gone. */
const OWNER = 'mqproxy_consume_redelivered_messages_total{cause="owner"}';

const brokers = await sharedKafka();

test('kills of nodes and consumers under load lose nothing, bring no committed ack again, and are over within 10 s', async () => {
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  const [one, two] = (
    await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)])
  ).map((server) => new MortalNode(server)) as [MortalNode, MortalNode];
  const { mqp } = two.server;
  const work = { topics: [topic], clients: 4, window: 20, ratePerSecond: RATE };
  const producers = await ProducerCrew.start({ server: `${mqp.host}:${mqp.port}`, ...work });
  const crew = new ConsumerCrew({ group, topic, creditMessages: CREDIT });
  for (const node of [one, one, two, two]) crew.add(node);
  const share = async () => {
    crew.last.length = 0;
    const nowMs = performance.now();
    const seen = (node: MortalNode) => crew.servingMs(nowMs, [node]) !== undefined;
    await until(() => seen(one) && seen(two), { ...patient, what: 'both nodes to deliver' });
  };

  const counts = (...nodes: MortalNode[]) =>
    Promise.all(nodes.map(({ server }) => metric(server, OWNER)));
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  // A node's counters die with it.
  let counted = 0;
  /** Messages that died with a node which had committed that they were given out. */
  const held: RawDelivery[] = [];
  const isHandled = ({ value }: RawDelivery) => crew.handled.has(value);

  const cores = new Cores();
  for (let kill = 0; kill < KILLS; kill++) {
    const victim = crew.process(two, '--credit', '64', '--lease', '1m');
    const sleeper = crew.process(two, '--credit', '8', '--lease', '200ms');
    await share();
    const printing = () => victim.printed.length > 0 && sleeper.printed.length > 0;
    await until(printing, { ...patient, what: 'processes that consume to print' });
    await oversleep(sleeper, two.server);
    await sleeper.kill();
    held.push(...(await holdCommitted(one, { group, topic })));
    // What it has been given meanwhile it never handles.
    victim.signal('SIGSTOP');
    await passing(100);
    await victim.kill();
    await passing(500);
    counted += sum(await counts(...(kill % 2 === 0 ? [one] : [one, two])));
    if (kill % 2 === 0) {
      const atMs = await one.kill();
      const { owned } = crew.after(atMs, one);
      const isTaken = () => {
        const { firstMs } = crew.after(atMs, one);
        return [...owned].every((partition) => firstMs.has(partition));
      };
      const takenOver = until(isTaken, { ...patient, what: 'the other node to take over' });
      await Promise.all([takenOver, one.restart()]);
      const { firstMs } = crew.after(atMs, one);
      const slowestMs = Math.max(...[...owned].map((partition) => firstMs.get(partition) ?? 0));
      const measured = `kill of one: ${owned.size} partitions taken over in ${Math.round(slowestMs)} ms`;
      assert(owned.size > 0, 'the killed node had delivered');
      if (cores.wereThere(measured))
        assert(slowestMs <= SESSION_MS + ALLOWED_MS, `it took ${slowestMs} ms`);
    } else {
      const [atMs] = await Promise.all([one.kill(), two.kill()]);
      await Promise.all([one.restart(), two.restart()]);
      const readyMs = performance.now() - atMs;
      const isServing = () => crew.servingMs(atMs, [one, two]);
      const tookMs = await until(isServing, { ...patient, what: 'a node to deliver again' });
      const [ready, took] = [readyMs, tookMs].map(Math.round);
      const measured = `kill of both: ready after ${ready} ms, delivering after ${took} ms`;
      if (cores.wereThere(measured)) assert(tookMs <= SERVING_MS, `it took ${tookMs} ms`);
    }
    const isBack = () => held.every(isHandled);
    await until(isBack, { ...patient, what: 'what the dead node had given out to come again' });
  }

  await share();
  // What comes again after the planned stop, which follows, is `wrong` unless a kill explains it.
  counted += sum(await counts(one, two));
  const { afterKill } = crew;
  const { code } = await one.server.kill('SIGTERM');
  assert.equal(code, 0);
  await producers.stop();
  assert.deepEqual(producers.failed, []);
  const missing = () => producers.answered.filter(({ value }) => !crew.handled.has(value));
  await until(() => missing().length === 0, { ...patient, what: 'all to be handled' }).catch(
    () => undefined,
  );
  const { acks, again, forgotten, wrong } = crew;
  const oldest = forgotten.reduce((one, other) => (one.ageMs > other.ageMs ? one : other), {
    ageMs: 0,
    commitMs: 0,
  });
  console.log(
    `messages=${producers.answered.length} acks=${acks} again=${again} after kills=${afterKill} ` +
      `counted=${counted} forgotten=${forgotten.length} ` +
      `oldest=${Math.round(oldest.ageMs)}ms commits took ${Math.round(oldest.commitMs)}ms`,
  );
  assert.deepEqual(missing().slice(0, 5), [], 'messages are lost');
  assert.deepEqual(wrong.slice(0, 5), []);
  // A node counts what the last commit says was given out: less than consumers saw by what was
  // given out since, and more by what was on its way to them.
  assert(counted >= held.length, `${counted} were counted, ${held.length} were given out for sure`);
  assert(counted <= afterKill + KILLS * OUT_MAX, `${counted} were counted, ${afterKill} were seen`);
  // What commits took is what the client saw, so that the wait before each counts twice.
  const tooOld = forgotten.filter(({ ageMs, commitMs }) => ageMs > COMMIT_MS + commitMs);
  assert.deepEqual(tooOld.slice(0, 5), [], 'acks were forgotten that should have been committed');
  if (cores.wereThere(`oldest=${Math.round(oldest.ageMs)} ms`))
    assert(oldest.ageMs <= FORGOTTEN_MS, `an ack of ${oldest.ageMs} ms before was forgotten`);
  await untilWhole(group, topic);
});

/** Freezes a consumer until its leases have run out, and lets it go on. */
async function oversleep(sleeper: ConsumerProcess, node: TestServer): Promise<void> {
  sleeper.signal('SIGSTOP');
  const before = await metric(node, EXPIRED);
  const isOver = async () => (await metric(node, EXPIRED)) > before;
  await until(isOver, { ...patient, everyMs: 50, what: 'leases of a frozen consumer to run out' });
  const printed = sleeper.printed.length;
  sleeper.signal('SIGCONT');
  const goesOn = () => sleeper.printed.length > printed;
  await until(goesOn, { ...patient, what: 'a consumer that was frozen to go on' });
}

/** Takes messages and handles none, until a commit says that they were given out. */
async function holdCommitted(
  node: MortalNode,
  { group, topic }: { group: string; topic: string },
): Promise<RawDelivery[]> {
  const asked = { group, topics: [topic], leaseMs: 600_000, creditMessages: HELD };
  const consumer = await RawConsumer.open(node.server.mqp, asked);
  const taken = await consumer.take(HELD, patient.timeoutMs);
  const atMs = performance.now();
  const { covered } = node.life;
  const isSaid = () => taken.every(({ partition }) => (covered.get(partition) ?? 0) > atMs);
  await until(isSaid, { ...patient, what: 'a commit behind what is held' });
  return taken;
}

/** Waits until Kafka says that the group is at the end of each partition. */
async function untilWhole(group: string, topic: string): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    const isWhole = async () => {
      const ends = await admin.fetchTopicOffsets(topic);
      const [floors] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const sum = (list: readonly { offset: string }[]) =>
        list.reduce((all, { offset }) => all + Number(offset), 0);
      return sum(ends) === sum(floors?.partitions ?? []);
    };
    await until(isWhole, { ...patient, everyMs: 100, what: 'the floors to be at the ends' });
  } finally {
    await admin.disconnect();
  }
}
