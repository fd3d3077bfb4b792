import assert from 'node:assert/strict';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import { connect } from './connect.ts';
import { Cores } from './cores.ts';
import { metricsOf } from './dead-letters.ts';
import { RawClient } from './raw-client.ts';
import { RawConsumer, type RawDelivery } from './raw-consumer.ts';
import { runCli } from './run-cli.ts';
import type { TestServer } from './start-server.ts';
import { until } from './wait.ts';

/** A second. Half of it is no question of the machine's speed. */
const RATE = 2_000;
/** Entries of one frame. */
const FRAME = 5_000;

/** What is put back, and where. */
export interface Redriven {
  readonly server: TestServer;
  readonly of: { readonly topic: string; readonly group: string };
  readonly letters: number;
  readonly patient: { readonly timeoutMs: number; readonly everyMs: number };
}

async function produceAll({ server, of, letters }: Redriven): Promise<void> {
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(of.topic);
  for (let from = 0; from < letters; from += 2_000) {
    const length = Math.min(2_000, letters - from);
    const values = Array.from({ length }, (_, i) => `m${from + i}`);
    const outcomes = await client.produce({ topic: topicId, first: from + 1, values, batch: true });
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  client.socket.destroy();
}

/** Gives each message that comes to `settle`, many at a time, until all were settled. */
async function consume(
  { server, of, letters, patient }: Redriven,
  settle: (consumer: RawConsumer, some: RawDelivery[]) => Promise<string[]>,
): Promise<{ seen: RawDelivery[]; spanMs: number; consumer: RawConsumer }> {
  const asked = { group: of.group, topics: [of.topic], creditMessages: 20_000, leaseMs: 600_000 };
  // On Kafka a node that is leaving a group must have left it first.
  const open = () =>
    RawConsumer.open(server.mqp, asked).catch((error: unknown) => {
      const isLeaving = error instanceof ProtocolError && error.code === ErrorCode.RETRY_LATER;
      if (!isLeaving) throw error;
      return undefined;
    });
  const consumer = await until(open, { ...patient, what: 'the group to be joined' });
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
  await until(() => settled >= letters, { ...patient, what: `${letters} are settled` });
  return { seen, spanMs: lastMs - firstMs, consumer };
}

/** Makes dead letters of messages, and holds a redrive of them to its rate, and to once each. */
export async function redriveAtRate(redriven: Redriven): Promise<void> {
  const { server, of, letters, patient } = redriven;
  await produceAll(redriven);
  const { consumer } = await consume(redriven, (it, some) => it.nack(some, 0, true));
  consumer.client.socket.destroy();
  const client = await connect(server);
  const dead = async () => (await client.ask(REDRIVE_DEAD, { ...of, dryRun: true })).matched;
  // Counting letters reads them all: asked again and again, it would slow down what it waits for.
  const moved = async () =>
    Number(/dead_letters_total\{.*\} (\d+)/.exec(await metricsOf(server))?.[1]);
  await until(async () => (await moved()) === letters, { ...patient, what: 'all are dead' });
  assert.equal(await dead(), letters);

  const cores = new Cores();
  const back = consume(redriven, (it, some) => it.ack(some));
  const at = ['--json', '--group', of.group, '--server', `${server.mqp.host}:${server.mqp.port}`];
  const redrive = async (...more: string[]): Promise<number> => {
    const words = ['dlq', 'redrive', of.topic, ...at, ...more];
    const { code, stdout, stderr } = await runCli(words, '', patient.timeoutMs);
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { moved: number }).moved;
  };
  assert.equal(await redrive('--rate', `${RATE}`), letters);
  const { seen, spanMs } = await back;
  // The first batch, of a tenth of a second, waits for nothing.
  const shortestMs = ((letters - RATE / 10) * 1_000) / RATE;
  const loggedMs = (word: string): number =>
    Number(new RegExp(`"time":(\\d+).*redrive of dead letters ${word}`).exec(server.stderr())?.[1]);
  const tookMs = loggedMs('ended') - loggedMs('began');
  const times = [shortestMs, tookMs, spanMs].map(Math.round);
  const measured = `letters=${letters} rate=${RATE} shortest, job, deliveries: ${times.join(' ')} ms`;
  assert(tookMs >= shortestMs, 'faster than its rate');
  if (cores.wereThere(measured)) assert(spanMs <= 2 * shortestMs, 'less than half its rate');

  // Whatever else would come is there when another redrive has found nothing to put back.
  assert.equal(await redrive(), 0);
  assert.equal(await dead(), 0);
  const { partitions } = await client.describeTopic(of.topic);
  const written = partitions.reduce((sum, { endOffset }) => sum + endOffset, 0);
  assert.equal(written, 2 * letters, 'each is in its topic twice: sent, and put back');
  assert.equal(seen.length, letters);
  assert.equal(new Set(seen.map(({ value }) => value)).size, letters);
  assert(
    seen.every(({ attempt }) => attempt === 1),
    'with new attempts',
  );
  await client.close();
}
