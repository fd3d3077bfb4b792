import { availableParallelism } from 'node:os';
import { systemClock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { packageRoot } from '../../base/package-root.ts';
import { parseAddress } from '../../config/address.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { type ReceiveReport, refuseTls, runLoad, runReceive } from '../load/generator.ts';
import { commitOf, cpuSecondsOf, cpuTicks, stealPercent } from '../load/machine-load.ts';
import { serverOptions, tokenOf, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson } from '../output.ts';
import { grouped } from '../progress.ts';

const count = (fallback: string, description: string) =>
  ({ kind: 'count', minimum: 1, value: 'N', fallback, description }) as const;

const shared = {
  ...serverOptions,
  topic: {
    kind: 'text',
    value: 'NAME',
    description: 'A new topic to fill and read; by default one with a name of its own.',
  },
  partitions: count('4', 'Its partitions.'),
  consumers: count('16', 'Subscriptions, one a connection.'),
  window: count('200', 'Unacked messages of a consumer, among which the next ack is drawn.'),
  credit: count('1000', 'Messages of a consumer that may be out.'),
  mode: {
    kind: 'choice',
    choices: ['shared', 'key-ordered', 'partition-ordered'],
    fallback: 'shared',
    description: 'How messages are given out.',
  },
  'ack-wait': {
    kind: 'choice',
    choices: ['recorded', 'committed'],
    fallback: 'recorded',
    description: 'What an ack waits for.',
  },
  size: count('1024', 'Bytes of a value, half of them random.'),
  keys: count('10000', 'Different keys.'),
  json: { kind: 'boolean', description: 'Print one JSON object.' },
} as const;

const consumeOptions = {
  ...shared,
  count: count('500000', 'Messages: the topic is filled with them first.'),
} as const;

const pipeOptions = {
  ...shared,
  rate: count('20000', 'Messages a second, whatever the node does.'),
  duration: {
    kind: 'duration',
    minimum: 1000,
    value: 'TIME',
    fallback: '10s',
    description: 'How long messages are sent.',
  },
} as const;

type Shared = OptionValues<typeof shared>;

/** Longest a receiver waits for the messages it is to count, in seconds. */
const WAIT_SECONDS = 300;
/** Time for the group to get its partitions, before latency counts, in seconds. */
const JOIN_SECONDS = 5;

/** `mqproxy bench consume`: fills a topic, then reads and acks it all. */
export const benchConsumeCommand: Command = {
  usage: 'bench consume [options]',
  summary: 'Measures consuming: every message acked by its own token, in random order.',
  options: consumeOptions,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, consumeOptions);
    if (words.length > 0) throw coded('USAGE', 'bench consume takes options only');
    return measured(own, own.count, async (topic) => {
      const fill = [
        ...common(own, topic),
        ...pairs({ size: own.size, keys: own.keys, count: own.count, warmup: 0 }),
        ...pairs({ connections: 16, 'in-flight': 256, duration: WAIT_SECONDS }),
      ];
      await runLoad(fill, tokenOf(own));
      return receive(own, topic, own.count, 0);
    });
  },
};

/** `mqproxy bench pipe`: from producer to consumer. */
export const benchPipeCommand: Command = {
  usage: 'bench pipe [options]',
  summary: 'Measures the way from a producer to a consumer: latency from the intended send time.',
  options: pipeOptions,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, pipeOptions);
    if (words.length > 0) throw coded('USAGE', 'bench pipe takes options only');
    const seconds = own.duration / 1000 + JOIN_SECONDS;
    const total = Math.round(own.rate * seconds);
    return measured(own, total, async (topic) => {
      const receiving = receive(own, topic, total, JOIN_SECONDS);
      const send = [
        ...common(own, topic),
        ...pairs({ size: Math.max(8, own.size), keys: own.keys, rate: own.rate, count: total }),
        ...pairs({ connections: 16, 'in-flight': 1024, warmup: 0, stamp: 'on' }),
        ...pairs({ duration: seconds + 60 }),
      ];
      const sending = runLoad(send, tokenOf(own));
      const [report] = await Promise.all([receiving, sending]);
      return report;
    });
  },
};

async function measured(
  own: Shared,
  total: number,
  work: (topic: string) => Promise<ReceiveReport>,
): Promise<number> {
  refuseTls(own);
  const run = systemClock.now().toString(36);
  const topic = own.topic ?? `bench-consume-${run}`;
  const { pid, backend } = await withNode(own, async (client) => {
    await client.createTopic(topic, { partitions: own.partitions });
    const status = await client.status();
    return { pid: status['pid'] as number, backend: client.node?.backend ?? null };
  });
  const ticks = cpuTicks();
  const nodeBefore = cpuSecondsOf(pid);
  const report = await work(topic);
  const nodeAfter = cpuSecondsOf(pid);
  const result = {
    consumers: own.consumers,
    partitions: own.partitions,
    mode: own.mode,
    ackWait: own['ack-wait'],
    size: own.size,
    ...report,
    missing: Math.max(0, total - (report.received - report.again)),
    nodeCpuSeconds:
      nodeBefore === undefined || nodeAfter === undefined
        ? null
        : Math.round((nodeAfter - nodeBefore) * 100) / 100,
    stealPercent: stealPercent(ticks, cpuTicks()),
    backend,
    commit: commitOf(packageRoot()),
    nodeVersion: process.versions.node,
    cores: availableParallelism(),
  };
  await (own.json ? printJson(result) : print(summaryOf(result)));
  return result.missing > 0 || result.failed > 0 ? exitCodes.refused : exitCodes.ok;
}

function receive(
  own: Shared,
  topic: string,
  total: number,
  joinSeconds: number,
): Promise<ReceiveReport> {
  const args = [
    ...common(own, topic),
    ...pairs({ group: 'bench', connections: own.consumers, window: own.window }),
    ...pairs({ credit: own.credit, mode: own.mode, wait: own['ack-wait'], count: total }),
    ...pairs({ duration: WAIT_SECONDS, warmup: joinSeconds }),
    ...pairs({ latency: joinSeconds > 0 ? 'stamp' : 'off' }),
  ];
  return runReceive(args, tokenOf(own));
}

function common(own: Shared, topic: string): string[] {
  const { host, port } = parseAddress(own.server);
  return pairs({ host: host === 'localhost' ? '127.0.0.1' : host, port, topic });
}

function pairs(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

interface Shown extends ReceiveReport {
  readonly consumers: number;
  readonly partitions: number;
  readonly ackWait: string;
  readonly size: number;
  readonly missing: number;
  readonly nodeCpuSeconds: number | null;
  readonly stealPercent: number;
}

function summaryOf(result: Shown): string {
  const milliseconds = Object.entries(result.latencyMs).map(([n, ms]) => `${n} ${ms.toFixed(2)}`);
  const lines = [
    `${grouped(result.messagesPerSecond)}/s ${result.ackWait}, ${result.size} B, ` +
      `${result.consumers} consumers (${result.idle} idle), ${result.partitions} partitions`,
    `received    ${grouped(result.received)}, ${grouped(result.missing)} missing, ` +
      `${grouped(result.again)} again, ${grouped(result.failed)} acks failed`,
    ...(result.latencyMs.max > 0 ? [`latency ms  ${milliseconds.join('  ')}`] : []),
    `CPU s       client ${result.cpuSeconds}  node ${result.nodeCpuSeconds ?? '-'}, ` +
      `steal ${result.stealPercent} %`,
    '',
  ];
  return lines.join('\n');
}
