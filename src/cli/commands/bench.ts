import { availableParallelism } from 'node:os';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { systemClock } from '../../base/clock.ts';
import { coded, codeOf } from '../../base/errors.ts';
import { packageRoot } from '../../base/package-root.ts';
import { parseAddress } from '../../config/address.ts';
import { didYouMean } from '../../config/nearest.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { benchDelay } from '../load/delay-bench.ts';
import { endOffsetOf, waitForDrain } from '../load/drain.ts';
import { dueSpanOf } from '../load/due-span.ts';
import { type LoadReport, refuseTls, runLoad } from '../load/generator.ts';
import { commitOf, cpuSecondsOf, cpuTicks, stealPercent } from '../load/machine-load.ts';
import { serverOptions, tokenOf, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson } from '../output.ts';
import { grouped } from '../progress.ts';
import { benchConsumeCommand, benchPipeCommand } from './bench-consume.ts';

const count = (fallback: string, description: string) =>
  ({ kind: 'count', minimum: 1, value: 'N', fallback, description }) as const;

const options = {
  ...serverOptions,
  topic: { kind: 'text', value: 'NAME', fallback: 'bench', description: 'The topic to fill.' },
  connections: count('64', 'Connections.'),
  'in-flight': count('64', 'Most messages without an answer, per connection.'),
  size: count('1024', 'Bytes of a value, half of them random.'),
  keys: count('10000', 'Different keys.'),
  duration: {
    kind: 'duration',
    minimum: 1,
    value: 'TIME',
    fallback: '20s',
    description: 'How long it is measured.',
  },
  warmup: {
    kind: 'duration',
    value: 'TIME',
    fallback: '0s',
    description: 'How long it runs before.',
  },
  rate: {
    kind: 'count',
    minimum: 1,
    value: 'N',
    description: 'Messages a second, whatever the node does; else as many as are answered.',
  },
  ack: {
    kind: 'choice',
    choices: ['stored', 'replicated'],
    fallback: 'stored',
    description: 'What an answer means.',
  },
  'drain-timeout': {
    kind: 'duration',
    value: 'TIME',
    fallback: '120s',
    description: 'How long to wait until all has arrived.',
  },
  count: { ...count('100000', 'messages.'), of: ['delay'] },
  over: {
    kind: 'duration',
    minimum: 1,
    value: 'TIME',
    of: ['delay'],
    description: 'they fall due over so long; default: the range of --ahead, else 10s.',
  },
  ahead: {
    kind: 'text',
    value: 'TIME',
    fallback: '5s',
    of: ['delay'],
    description: 'the first so long after the beginning; 5s..15s: from then till then.',
  },
  'node-pid': { kind: 'count', value: 'PID', description: 'The node, for its CPU time.' },
  'kafka-pid': { kind: 'count', value: 'PID', description: 'The broker, for its CPU time.' },
  json: { kind: 'boolean', description: 'Print one JSON object.' },
} as const;

type Own = OptionValues<typeof options>;

const parts: Readonly<Record<string, Command>> = {
  consume: benchConsumeCommand,
  pipe: benchPipeCommand,
};

/** `mqproxy bench produce|delay|consume|pipe`: loads a node, and counts what has arrived. */
export const benchCommand: Command = {
  usage: 'bench produce | delay | consume | pipe [options]',
  summary: 'Measures a node under load; exit code 1 when a message is missing or failed.',
  details: [
    'Closed loop: as many as are answered. With --rate an open loop, with latency from the intended',
    'send time. Then the drain is waited for, and the growth of the topic is compared with what was',
    'answered: the surplus is printed as duplicates. Nobody else may write to the topic meanwhile.',
    'delay schedules messages and says how late they came, by the clock of the log and here.',
    'Exit code 1: less has arrived than was answered, a message or an ack failed, or one came early.',
    'consume and pipe have options of their own: bench consume --help, bench pipe --help.',
  ].join('\n'),
  options,
  part: (word) => (word !== undefined && Object.hasOwn(parts, word) ? parts[word] : undefined),
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [what, ...others] = words;
    if ((what !== 'produce' && what !== 'delay') || others.length > 0) {
      const known = ['produce', 'delay', ...Object.keys(parts)];
      const hint = what === undefined ? '' : didYouMean(what, known);
      throw coded('USAGE', `bench takes one word first: ${known.join(', ')}${hint}`);
    }
    if (what === 'produce') refuseTls(own);
    return withNode(own, async (client) => {
      if (what === 'delay') return delayed(client, own);
      const result = await measure(client, own);
      await (own.json ? printJson(result) : print(summaryOf(result)));
      return result.missing > 0 || result.failed > 0 ? exitCodes.refused : exitCodes.ok;
    });
  },
};

async function delayed(client: MqpClient, own: Own): Promise<number> {
  const span = dueSpanOf(own.ahead, own.over);
  const nodePid = own['node-pid'] ?? pidOf(await client.status());
  const { topic, count, size } = own;
  const shape = { topic, count, size, ...span, nodePid };
  const before = cpuTicks();
  const result = await benchDelay(client, shape, systemClock);
  const machine = { stealPercent: stealPercent(before, cpuTicks()), cores: availableParallelism() };
  await printJson({ ...result, ...machine, commit: commitOf(packageRoot()) });
  return result.missing > 0 || result.early > 0 ? exitCodes.refused : exitCodes.ok;
}

async function measure(client: MqpClient, own: Own) {
  await ensureTopic(client, own.topic);
  const nodePid = own['node-pid'] ?? pidOf(await client.status());
  const before = { offset: await endOffsetOf(client, own.topic), ticks: cpuTicks() };
  const nodeBefore = cpuSecondsOf(nodePid);
  const kafkaBefore = cpuSecondsOf(own['kafka-pid']);
  const load = await runLoad(loadArguments(own), tokenOf(own));
  const target = {
    topic: own.topic,
    endOffset: before.offset + load.acked,
    timeoutMs: own['drain-timeout'],
  };
  const drained = await waitForDrain(client, target, systemClock);
  const arrived = drained.endOffset - before.offset;
  return {
    ...shapeOf(own),
    requestsPerSecond: load.requestsPerSecond,
    acked: load.acked,
    failed: load.failed,
    failedByCode: load.failedByCode,
    missing: Math.max(0, load.acked - arrived),
    duplicates: Math.max(0, arrived - load.acked),
    drainSeconds: drained.seconds,
    latencyMs: load.latencyMs,
    cpuSeconds: {
      client: load.cpuSeconds,
      node: difference(nodeBefore, cpuSecondsOf(nodePid)),
      kafka: difference(kafkaBefore, cpuSecondsOf(own['kafka-pid'])),
    },
    stealPercent: stealPercent(before.ticks, cpuTicks()),
    backend: client.node?.backend ?? null,
    commit: commitOf(packageRoot()),
    nodeVersion: process.versions.node,
    cores: availableParallelism(),
  };
}

type Result = Awaited<ReturnType<typeof measure>>;

function shapeOf(own: Own) {
  return {
    connections: own.connections,
    inFlight: own['in-flight'],
    size: own.size,
    ack: own.ack,
    rate: own.rate ?? null,
    seconds: own.duration / 1000,
  };
}

function loadArguments(own: Own): string[] {
  const { host, port } = parseAddress(own.server);
  const pairs: [name: string, value: string | number][] = [
    ['--host', host === 'localhost' ? '127.0.0.1' : host],
    ['--port', port],
    ['--topic', own.topic],
    ['--connections', own.connections],
    ['--in-flight', own['in-flight']],
    ['--size', own.size],
    ['--keys', own.keys],
    ['--duration', own.duration / 1000],
    ['--warmup', own.warmup / 1000],
    ['--ack', own.ack],
    ['--rate', own.rate ?? 0],
  ];
  return pairs.flatMap(([name, value]) => [name, String(value)]);
}

async function ensureTopic(client: MqpClient, topic: string): Promise<void> {
  try {
    await client.createTopic(topic);
  } catch (error) {
    if (codeOf(error) !== 'TOPIC_EXISTS') throw error;
  }
}

function pidOf(status: Readonly<Record<string, unknown>>): number | undefined {
  return typeof status['pid'] === 'number' ? status['pid'] : undefined;
}

function difference(before: number | undefined, after: number | undefined): number | null {
  if (before === undefined || after === undefined) return null;
  return Math.round((after - before) * 100) / 100;
}

function summaryOf(result: Result): string {
  const { latencyMs, cpuSeconds }: { latencyMs: LoadReport['latencyMs']; cpuSeconds: object } =
    result;
  const milliseconds = Object.entries(latencyMs).map(([name, ms]) => `${name} ${ms.toFixed(2)}`);
  const seconds = Object.entries(cpuSeconds).map(([name, used]) => `${name} ${used ?? '-'}`);
  return [
    `${grouped(result.requestsPerSecond)}/s ${result.ack}, ${result.size} B, ` +
      `${result.connections} × ${result.inFlight} in flight, ${result.seconds} s`,
    `answered    ${grouped(result.acked)}, ${grouped(result.failed)} failed`,
    `arrived     ${grouped(result.missing)} missing, ${grouped(result.duplicates)} duplicates, ` +
      `drained in ${result.drainSeconds} s`,
    `latency ms  ${milliseconds.join('  ')}`,
    `CPU s       ${seconds.join('  ')}, steal ${result.stealPercent} %`,
    '',
  ].join('\n');
}
