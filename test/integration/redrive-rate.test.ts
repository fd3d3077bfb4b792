import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { connect } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { metricsOf, of } from '../support/dead-letters.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { runCli } from '../support/run-cli.ts';
import { countOf } from '../support/seeded.ts';
import { type Address, startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const LETTERS = countOf('MQP_LETTERS', isLong ? 100_000 : 4_000);
/** A second. Half of it is no question of the machine's speed. */
const RATE = 2_000;
const patient = { timeoutMs: isLong ? 300_000 : 60_000, everyMs: isLong ? 1_000 : 100 };
/** Entries of one frame. */
const FRAME = 5_000;

async function produceAll(address: Address): Promise<void> {
  const client = await RawClient.connect(address);
  const { topicId } = await client.open(of.topic);
  for (let from = 0; from < LETTERS; from += 2_000) {
    const length = Math.min(2_000, LETTERS - from);
    const values = Array.from({ length }, (_, i) => `m${from + i}`);
    const outcomes = await client.produce({ topic: topicId, first: from + 1, values, batch: true });
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  client.socket.destroy();
}

/** Gives each message that comes to `settle`, many at a time, until `count` were settled. */
async function consume(
  address: Address,
  count: number,
  settle: (consumer: RawConsumer, some: RawDelivery[]) => Promise<string[]>,
): Promise<{ seen: RawDelivery[]; spanMs: number; consumer: RawConsumer }> {
  const asked = { group: of.group, topics: [of.topic], creditMessages: 20_000, leaseMs: 600_000 };
  const consumer = await RawConsumer.open(address, asked);
  const seen: RawDelivery[] = [];
  let settled = 0;
  let firstMs = Number.POSITIVE_INFINITY;
  let lastMs = 0;
  let tail: Promise<unknown> = Promise.resolve();
  consumer.onDelivered = (messages) => {
    seen.push(...messages);
    lastMs = performance.now();
    firstMs = Math.min(firstMs, lastMs);
    tail = tail.then(async () => {
      for (let at = 0; at < messages.length; at += FRAME) {
        const some = messages.slice(at, at + FRAME);
        assert.deepEqual(await settle(consumer, some), []);
        settled += some.length;
      }
    });
  };
  await until(() => settled >= count, { ...patient, what: `${count} are settled` });
  return { seen, spanMs: lastMs - firstMs, consumer };
}

test('a redrive at a rate keeps to it, and puts each dead letter back exactly once', async () => {
  const server = await startServer();
  await produceAll(server.mqp);
  const { consumer } = await consume(server.mqp, LETTERS, (it, some) => it.nack(some, 0, true));
  consumer.client.socket.destroy();
  const client = await connect(server);
  const dead = async () => (await client.ask(REDRIVE_DEAD, { ...of, dryRun: true })).matched;
  // Counting letters reads them all: asked again and again, it would slow down what it waits for.
  const moved = async () =>
    Number(/dead_letters_total\{.*\} (\d+)/.exec(await metricsOf(server))?.[1]);
  await until(async () => (await moved()) === LETTERS, { ...patient, what: 'all are dead' });
  assert.equal(await dead(), LETTERS);

  const cores = new Cores();
  const back = consume(server.mqp, LETTERS, (it, some) => it.ack(some));
  const at = ['--json', '--group', of.group, '--server', `${server.mqp.host}:${server.mqp.port}`];
  const redrive = async (...more: string[]): Promise<number> => {
    const words = ['dlq', 'redrive', of.topic, ...at, ...more];
    const { code, stdout, stderr } = await runCli(words, '', patient.timeoutMs);
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { moved: number }).moved;
  };
  assert.equal(await redrive('--rate', `${RATE}`), LETTERS);
  const { seen, spanMs } = await back;
  // The first batch, of a tenth of a second, waits for nothing.
  const shortestMs = ((LETTERS - RATE / 10) * 1_000) / RATE;
  const loggedMs = (word: string): number =>
    Number(new RegExp(`"time":(\\d+).*redrive of dead letters ${word}`).exec(server.stderr())?.[1]);
  const tookMs = loggedMs('ended') - loggedMs('began');
  const times = [shortestMs, tookMs, spanMs].map(Math.round);
  const measured = `letters=${LETTERS} rate=${RATE} shortest, job, deliveries: ${times.join(' ')} ms`;
  assert(tookMs >= shortestMs, 'faster than its rate');
  if (cores.wereThere(measured)) assert(spanMs <= 2 * shortestMs, 'less than half its rate');

  // Whatever else would come is there when another redrive has found nothing to put back.
  assert.equal(await redrive(), 0);
  assert.equal(await dead(), 0);
  const { partitions } = await client.describeTopic(of.topic);
  const written = partitions.reduce((sum, { endOffset }) => sum + endOffset, 0);
  assert.equal(written, 2 * LETTERS, 'each is in its topic twice: sent, and put back');
  assert.equal(seen.length, LETTERS);
  assert.equal(new Set(seen.map(({ value }) => value)).size, LETTERS);
  assert(
    seen.every(({ attempt }) => attempt === 1),
    'with new attempts',
  );
  await client.close();
});
