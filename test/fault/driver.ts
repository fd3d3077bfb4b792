import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { coded } from '../../src/base/errors.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { createKafka, type KafkaBroker } from '../support/kafka.ts';
import { Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { clusterState } from '../support/two-clusters.ts';
import { passing } from '../support/wait.ts';
import { ConsumeRun, consumeArgs } from './consume-run.ts';
import { DelayCrew } from './delay-crew.ts';
import { CLOCK_AHEAD_MS, drawFault, type FaultName, maySendAgain } from './drawn-faults.ts';
import { FaultRun } from './fault-run.ts';
import { ANSWERED_AFTER_FAULT, missingFrom } from './floors.ts';

// `npm run fault -- --minutes N --seed S`: a node and a real Kafka under load, faults as the seed
// draws them, and the history checked after each round. scripts/fault.mjs starts it. With
// `--clusters 2` the node has a backup, and changes of the cluster are among the faults.

interface Totals {
  rounds: number;
  answered: number;
  delivered: number;
  duplicates: number;
  resends: number;
  refused: number;
  unknown: number;
  /** Of the group: acks, deliveries of what had been delivered, and dead letters. */
  acked: number;
  again: number;
  letters: number;
  /** Times that messages were seen to go to the other cluster. */
  switches: number;
  /** Delayed messages that fired, and those that did more than once. */
  delays: number;
  delaysTwice: number;
  cancelled: number;
  readonly faults: Partial<Record<FaultName, number>>;
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    'round-minutes': { type: 'string', default: '2' },
    seed: { type: 'string' },
    embedded: { type: 'boolean', default: false },
    clusters: { type: 'string', default: '1' },
    only: { type: 'string', multiple: true },
    json: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const roundMs = Math.min(Number(values['round-minutes']), minutes) * 60_000;
const clusters = values.embedded ? 0 : Number(values.clusters);
const totals: Totals = {
  rounds: 0,
  answered: 0,
  delivered: 0,
  duplicates: 0,
  resends: 0,
  refused: 0,
  unknown: 0,
  acked: 0,
  again: 0,
  letters: 0,
  switches: 0,
  delays: 0,
  delaysTwice: 0,
  cancelled: 0,
  faults: {},
};

/** A broker of this program's own, reached by a proxy. */
interface Kafka {
  readonly broker: KafkaBroker;
  readonly proxy: FaultProxy;
  readonly backup?: KafkaBroker;
}

async function startKafka(): Promise<Kafka> {
  const proxy = await FaultProxy.start();
  const config = { 'advertised.listeners': `PLAINTEXT://${proxy.address}` };
  const broker = await startBroker(config);
  proxy.setTarget({ host: '127.0.0.1', port: broker.port });
  return clusters < 2 ? { broker, proxy } : { broker, proxy, backup: await startBroker() };
}

async function startBroker(config: Record<string, string> = {}): Promise<KafkaBroker> {
  const broker = await createKafka({ config, heapMaxMib: 512 });
  process.on('exit', () => broker.killNow());
  await broker.start();
  return broker;
}

/** Counts changes of the cluster in use, until it is told to stop. */
function watchSwitches(run: FaultRun): () => Promise<void> {
  let isOver = false;
  const watch = async (): Promise<void> => {
    for (let last = 'primary'; !isOver; await passing(250)) {
      // A node that was killed answers nothing, and begins with the primary.
      const { inUse } = await clusterState(run.server).catch(() => ({ inUse: last }));
      if (inUse === last) continue;
      last = inUse;
      totals.switches++;
      run.crew.history.event('switch');
    }
  };
  const watching = watch();
  return async () => {
    isOver = true;
    await watching;
  };
}

/** Of these a consumer is promised everything; under the others a node may lose its partitions. */
const STRICT: readonly FaultName[] = ['kill', 'power', 'cut-clients', 'bad-client-net'];
/** Between two faults of consumers, in ms on average. */
const DISTURB_MS = 2_000;
const FINISH_MS = 300_000;

/** A group that consumes what the run produces, by its node and, on Kafka, by a second one. */
async function startConsuming(run: FaultRun, kafka: Kafka | undefined): Promise<Consuming> {
  const others: TestServer[] = [];
  if (kafka !== undefined) {
    const { proxy, backup } = kafka;
    const beside = backup === undefined ? [] : ['--kafka.backup.brokers', backup.address];
    others.push(
      await startServer({
        backend: 'kafka',
        kafkaBrokers: proxy.address,
        // Delays are asked of the other node alone.
        args: [...consumeArgs, ...beside, '--delay.enabled', 'false'],
      }),
    );
  }
  const clusters = kafka === undefined ? [] : [kafka.broker, kafka.backup];
  const brokers = clusters.flatMap((broker) => (broker === undefined ? [] : [broker.address]));
  const consuming = new ConsumeRun({
    topics: run.topics,
    nodes: [run.server, ...others],
    ...(brokers.length === 0 ? {} : { brokers }),
    seed: run.seed,
  });
  run.onKill = () => consuming.killed(run.server);
  consuming.disturb(DISTURB_MS);
  return { consuming, others };
}

interface Consuming {
  readonly consuming: ConsumeRun;
  readonly others: readonly TestServer[];
}

function startDelays(run: FaultRun, kafka: Kafka | undefined, number: number): Promise<DelayCrew> {
  return DelayCrew.start({
    server: run.proxy?.address ?? run.address,
    ...(kafka === undefined ? {} : { readFrom: kafka.broker.address }),
    seed: seed + number,
  });
}

async function endDelays(run: FaultRun, delays: DelayCrew | undefined): Promise<void> {
  if (delays === undefined) return;
  const verdicts = await delays.end({ fired: 20 });
  const { fired, duplicates, cancelled } = delays.checker.counts();
  totals.delays += fired;
  totals.delaysTwice += duplicates;
  totals.cancelled += cancelled;
  if (!verdicts.isClean) verdicts.keptIn = await run.keepEvidence();
  verdicts.assertClean();
}

async function round(kafka: Kafka | undefined, number: number): Promise<void> {
  const run = await FaultRun.start({
    ...(kafka === undefined
      ? {}
      : { brokers: kafka.proxy.address, readFrom: kafka.broker.address }),
    ...(kafka?.backup === undefined ? {} : { backup: { brokers: kafka.backup.address } }),
    seed: seed + number,
    preload: process.platform === 'linux',
    proxied: true,
    server: { args: [...consumeArgs] },
    crew: { ack: kafka === undefined ? 'stored' : 'mixed', ratePerSecond: 2_000 },
  });
  const { consuming, others } = await startConsuming(run, kafka);
  // A second cluster has copies of its own, which this checker does not know.
  const delays = clusters < 2 ? await startDelays(run, kafka, number) : undefined;
  const draws = new Seeded(seed + number);
  const events = { kill: 0, power: 0 };
  const unwatch = clusters === 2 ? watchSwitches(run) : async () => {};
  const until = performance.now() + roundMs;
  while (performance.now() < until) {
    const fault = drawFault(draws, { clusters, only: values.only });
    const isStrict = STRICT.includes(fault.name);
    try {
      if (!isStrict) consuming.history.away(true);
      const happened = await fault.happen({ run, random: draws, ...kafka });
      if (!isStrict) consuming.history.away(false);
      if (happened !== false) totals.faults[fault.name] = (totals.faults[fault.name] ?? 0) + 1;
      if (fault.name === 'kill' || fault.name === 'power') events[fault.name]++;
      if (maySendAgain(fault.name)) delays?.checker.disturbed(Date.now());
      if (fault.name === 'clock-step') delays?.checker.clockStepped(CLOCK_AHEAD_MS);
      await run.crew.untilAnswered(ANSWERED_AFTER_FAULT, 120_000);
    } catch (error) {
      console.error(`after ${fault.name}; evidence is kept in ${await run.keepEvidence()}`);
      throw error;
    }
  }
  await unwatch();
  // What Kafka refuses for a clock that is ahead waits until it is right again.
  run.clock.setOffset(0);
  await endDelays(run, delays);
  const { counts, verdicts } = await run.end({ answered: 100, events });
  const consumed = await consuming.end({ acked: 100 }, FINISH_MS);
  totals.acked += consumed.counts.acked;
  totals.again += consumed.counts.again;
  totals.letters += consumed.counts.letters;
  totals.rounds++;
  totals.answered += counts.answered;
  totals.delivered += counts.delivered;
  totals.duplicates += counts.duplicates;
  totals.resends += counts.resends;
  totals.refused += counts.failed;
  totals.unknown += counts.unknown;
  const faults = Object.entries(totals.faults).map(([name, count]) => `${name}=${count}`);
  console.log(
    `round=${totals.rounds} answered=${totals.answered} acked=${totals.acked} ${faults.join(' ')}`,
  );
  verdicts.assertClean();
  consumed.verdicts.assertClean();
  await Promise.all(others.map((server) => server.close()));
  await run.close();
}

async function main(): Promise<void> {
  if (clusters > 2) throw coded('INVALID_ARGUMENT', '--clusters: 1 or 2');
  console.log(`seed=${seed} minutes=${minutes} clusters=${clusters}`);
  const until = performance.now() + minutes * 60_000;
  const kafka = clusters === 0 ? undefined : await startKafka();
  let failure: unknown;
  try {
    for (let number = 0; performance.now() < until; number++) await round(kafka, number);
    const missing = missingFrom(totals, { clusters, only: values.only });
    if (missing.length > 0) throw coded('TOO_LITTLE', missing.join('; '));
  } catch (error) {
    failure = error;
  }
  const { faults, ...counts } = totals;
  const ok = failure === undefined;
  const said = [...Object.entries(counts), ...Object.entries(faults)];
  console.log(`${ok ? 'ok' : 'FAILED'} seed=${seed} ${said.map((p) => p.join('=')).join(' ')}`);
  if (!ok) console.error(failure instanceof Error ? failure.stack : failure);
  const report = { ok, seed, minutes, ...counts, faults, failure: failure && String(failure) };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report)}\n`);
  await kafka?.proxy.close();
  await kafka?.broker.close();
  await kafka?.backup?.close();
  process.exit(ok ? 0 : 1);
}

// Exit handlers end the node and the broker.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await main();
