import type { HeaderInput } from '../../../sdk/ts/src/types.ts';
import { systemClock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { dueInput } from '../due-option.ts';
import { exitCodes } from '../exit-code.ts';
import { connectNode, serverOptions } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { ProduceRun } from '../produce-run.ts';
import { grouped, Progress } from '../progress.ts';

const options = {
  ...serverOptions,
  'key-separator': {
    kind: 'text',
    value: 'C',
    description: 'The key is what stands before the first C of a line; \\t is a tab.',
  },
  header: { kind: 'list', value: 'N=V', description: 'A header of every message; repeatable.' },
  partition: {
    kind: 'count',
    maximum: 2 ** 31 - 1,
    value: 'N',
    description: 'The partition; else by key, and without a key the node chooses.',
  },
  delay: {
    kind: 'text',
    value: 'TIME',
    description: 'Delivered so long after acceptance, such as 15s; up to 400 days.',
  },
  due: {
    kind: 'text',
    value: 'TIME',
    description: 'Delivered at this time: ISO 8601, or milliseconds since 1970.',
  },
  level: { kind: 'text', value: 'NAME', description: 'Delivered after a fixed level, such as 5m.' },
  unique: {
    kind: 'boolean',
    description: 'Delayed: topic and key name the schedule; a later line of them replaces it.',
  },
  'if-absent': { kind: 'boolean', description: 'With --unique: what is scheduled stays.' },
  ack: {
    kind: 'choice',
    choices: ['stored', 'replicated'],
    fallback: 'stored',
    description: 'What an answer means.',
  },
  'in-flight': {
    kind: 'count',
    minimum: 1,
    maximum: 1_000_000,
    value: 'N',
    fallback: '1024',
    description: 'Most messages without an answer.',
  },
  timeout: {
    kind: 'duration',
    minimum: 1,
    value: 'TIME',
    fallback: '60s',
    description: 'How long a message is sent again before it is UNKNOWN.',
  },
  json: { kind: 'boolean', description: 'Print what became of each line, in input order.' },
} as const;

/** `mqproxy produce`: a message per line of stdin. */
export const produceCommand: Command = {
  usage: 'produce TOPIC [options]',
  summary:
    'Sends each line of stdin as a message; exit code 0 only if every one was answered well.',
  details: [
    'Lines end at LF, one CR before it is dropped, an empty line is an empty message. When the',
    'node goes away the command reconnects and sends again with the same ids, until the timeout.',
    'With --json one line each: {"n":1,"id":…,"ack":…,"partition":…,"offset":…} or',
    '{"n":1,"error":"CODE"}; a delayed one has "delayId" and "dueAtMs". Ctrl-C ends the input; a second one ends at once.',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [topic, ...others] = words;
    if (topic === undefined || others.length > 0) throw coded('USAGE', 'produce takes one TOPIC');
    const settings = {
      topic,
      keySeparator: separatorOf(own['key-separator']),
      headers: own.header.map(headerOf),
      partition: own.partition,
      due: {
        ...dueInput(own),
        ...(own.unique ? { unique: true } : {}),
        ...(own['if-absent'] ? { ifAbsent: true } : {}),
      },
      ack: own.ack,
      inFlight: own['in-flight'],
      timeoutMs: own.timeout,
      isJson: own.json,
    };
    const client = await connectNode(own, {
      inFlightMessagesMax: own['in-flight'],
      // The run keeps its own bound on bytes; this one must not refuse a single large line.
      bufferBytesMax: 512 * 2 ** 20,
      connectTimeoutMs: Math.min(own.timeout, 5000),
    });
    const startMs = systemClock.monotonic();
    const run = new ProduceRun(client, settings);
    const progress = new Progress(() => `${grouped(run.acked)} answered`);
    const stop = endInputOnSignal();
    try {
      await run.run(process.stdin);
    } finally {
      stop();
      progress.end();
      await client.close();
    }
    if (!own.json) summarize(run, own.ack, systemClock.monotonic() - startMs);
    return run.failed === 0 ? exitCodes.ok : exitCodes.refused;
  },
};

/** The first SIGINT or SIGTERM ends the input, so that what was sent is still answered. */
function endInputOnSignal(): () => void {
  const onSignal = () => {
    process.stdin.push(null);
    stop();
  };
  const stop = () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stop;
}

function summarize(run: ProduceRun, ack: string, elapsedMs: number): void {
  const seconds = Math.max(elapsedMs, 1) / 1000;
  const rate = grouped(run.acked / seconds);
  const lines = [
    `${grouped(run.acked)} of ${grouped(run.lines)} lines ${ack} in ${seconds.toFixed(2)} s, ${rate}/s`,
  ];
  for (const [code, count] of run.failuresByCode) lines.push(`${grouped(count)} × ${code}`);
  for (const { line, code, message } of run.failures)
    lines.push(`line ${line}: ${code}: ${message}`);
  process.stderr.write(`${lines.join('\n')}\n`);
}

function separatorOf(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  if (text === '') throw coded('USAGE', '--key-separator may not be empty');
  return Buffer.from(text === '\\t' ? '\t' : text);
}

function headerOf(text: string): HeaderInput {
  const at = text.indexOf('=');
  if (at < 1) throw coded('USAGE', `--header: ${JSON.stringify(text)} is not NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
