import type { DelayOutcome } from '../../../protocol/src/delayed.ts';
import type { ScheduleSeries, SeriesEvery, SeriesInfo } from '../../../protocol/src/series.ts';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { coded } from '../../base/errors.ts';
import { formatDuration } from '../../config/units.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { timeOf } from '../due-option.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';

const SECOND_MS = 1_000;

const options = {
  ...serverOptions,
  name: {
    kind: 'text',
    value: 'NAME',
    of: ['add'],
    description: 'names the series, and replaces one of that name; else the node makes one.',
  },
  every: {
    kind: 'duration',
    minimum: SECOND_MS,
    value: 'TIME',
    of: ['add'],
    description: 'at this interval, such as 10s; 1s at least.',
  },
  cron: {
    kind: 'text',
    value: 'RULE',
    of: ['add'],
    description: "minute hour day month weekday, such as '0 3 * * *'.",
  },
  'time-zone': {
    kind: 'text',
    value: 'ZONE',
    of: ['add'],
    description: 'of --cron, such as Europe/Berlin; UTC when it is not said.',
  },
  first: {
    kind: 'duration',
    minimum: SECOND_MS,
    value: 'TIME',
    of: ['add'],
    description: 'at growing intervals, of which this is the first; 1s at least.',
  },
  factor: {
    kind: 'text',
    value: 'F',
    of: ['add'],
    description: 'each interval is F times the last.',
  },
  max: { kind: 'duration', value: 'TIME', of: ['add'], description: 'and no longer than this.' },
  count: { kind: 'count', minimum: 1, value: 'N', of: ['add'], description: 'N firings at most.' },
  until: { kind: 'text', value: 'TIME', of: ['add'], description: 'no firing after this time.' },
  missed: {
    kind: 'choice',
    choices: ['skip', 'once', 'all'],
    fallback: 'once',
    of: ['add'],
    description: 'what becomes of firings that no node was there for.',
  },
  key: { kind: 'text', value: 'KEY', of: ['add'], description: 'the key of its messages.' },
  value: { kind: 'text', value: 'TEXT', of: ['add'], description: 'their value; else stdin is.' },
  number: { kind: 'count', minimum: 1, value: 'N', of: ['cancel'], description: 'firing N alone.' },
  limit: {
    kind: 'count',
    minimum: 1,
    maximum: 1_000,
    fallback: '100',
    value: 'N',
    of: ['list'],
    description: 'at most so many.',
  },
  cursor: { kind: 'text', value: 'C', of: ['list'], description: 'go on where a page ended.' },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type SeriesOptions = OptionValues<typeof options>;

/** `mqproxy delay series add|list|cancel`. */
export const delaySeriesCommand: Command = {
  usage: 'delay series add TOPIC | list | cancel NAME [options]',
  summary: 'Messages that come again and again: at intervals, or by cron.',
  details: [
    'add takes one of --every, --cron, and --first with --factor, and the value from --value or',
    'stdin, of which one line end is dropped. A TIME of --until is ISO 8601 or milliseconds since',
    '1970. cancel ends with exit code 1 when it was too late or there is no such series.',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, word, ...others] = words;
    const work = await actionOf('delay series', actions, action)(own, word);
    if (others.length > 0) throw coded('USAGE', `delay series ${action} takes no ${others[0]}`);
    return withNode(own, work);
  },
};

type Work = (client: MqpClient) => Promise<number>;
type Action = (own: SeriesOptions, word: string | undefined) => Promise<Work>;

const actions: Readonly<Record<string, Action>> = { add, list, cancel };

async function add(own: SeriesOptions, topic: string | undefined): Promise<Work> {
  if (topic === undefined) throw coded('USAGE', 'delay series add takes a TOPIC');
  const { name, key, count, until, missed, value } = own;
  const asked: Omit<ScheduleSeries, 'value'> = {
    topic,
    every: everyOf(own),
    missed,
    ...(name === undefined ? {} : { series: name }),
    ...(key === undefined ? {} : { key }),
    ...(count === undefined ? {} : { count }),
    ...(until === undefined ? {} : { untilMs: timeOf('until', until) }),
  };
  const request = { ...asked, value: value ?? (await readInput()) };
  return async (client) => {
    const answer = await client.delayed.series.schedule(request);
    if (own.json) await printJson(answer);
    else await print(`${answer.series}  first ${iso(answer.nextMs)}\n`);
    return exitCodes.ok;
  };
}

async function list(own: SeriesOptions, word: string | undefined): Promise<Work> {
  if (word !== undefined) throw coded('USAGE', `delay series list takes no ${word}`);
  const { limit, cursor } = own;
  return async (client) => {
    const query = { limit, ...(cursor === undefined ? {} : { cursor }) };
    const page = await client.delayed.series.list(query);
    if (own.json) {
      for (const series of page.series) await printJson(jsonOf(series));
      const { cursor: next, unreachable } = page;
      if (unreachable !== undefined) await printJson({ unreachable });
      if (next !== undefined) await printJson({ cursor: next });
      return exitCodes.ok;
    }
    const rows = page.series.map((it) => [
      it.nextMs === undefined ? '' : iso(it.nextMs),
      it.nextNumber,
      it.fired,
      it.topic,
      ruleText(it.every),
      it.series,
    ]);
    await print(tableOf(['next', 'number', 'fired', 'topic', 'every', 'name'], rows));
    await print(awayText(page));
    if (page.cursor !== undefined) await print(`\nmore: --cursor ${page.cursor}\n`);
    return exitCodes.ok;
  };
}

async function cancel(own: SeriesOptions, name: string | undefined): Promise<Work> {
  if (name === undefined) throw coded('USAGE', 'delay series cancel takes a NAME');
  return async (client) => {
    const outcome: DelayOutcome = await client.delayed.series.cancel(name, own.number);
    if (own.json) await printJson({ outcome });
    else await print(`${outcome}\n`);
    return outcome === 'cancelled' ? exitCodes.ok : exitCodes.refused;
  };
}

/** What an answer lacks, for people. */
export function awayText(answer: { readonly unreachable?: readonly number[] }): string {
  const lines = (answer.unreachable ?? []).map(
    (cluster) => `the ${clusterName(cluster)} cluster cannot be asked: what it has is missing\n`,
  );
  return lines.join('');
}

/** A cluster as people call it. */
export function clusterName(cluster: number): string {
  return cluster === 0 ? 'primary' : 'backup';
}

function everyOf(own: SeriesOptions): SeriesEvery {
  const { every, cron, first, factor: text, max } = own;
  const timeZone = own['time-zone'];
  if ([every, cron, first].filter((it) => it !== undefined).length !== 1) {
    throw coded('USAGE', 'take one of --every, --cron, and --first with --factor');
  }
  if (timeZone !== undefined && cron === undefined) {
    throw coded('USAGE', '--time-zone belongs to --cron');
  }
  if ((text !== undefined || max !== undefined) && first === undefined) {
    throw coded('USAGE', '--factor and --max belong to --first');
  }
  if (every !== undefined) return { intervalMs: every };
  if (cron !== undefined) return timeZone === undefined ? { cron } : { cron, timeZone };
  const firstMs = first ?? SECOND_MS;
  const factor = Number(text);
  if (text === undefined || !(factor >= 1 && factor <= 1_000)) {
    throw coded('USAGE', '--first goes with a --factor from 1 to 1000');
  }
  if (max !== undefined && max < firstMs) throw coded('USAGE', '--max is shorter than --first');
  return max === undefined ? { firstMs, factor } : { firstMs, factor, maxMs: max };
}

async function readInput(): Promise<Buffer> {
  if (process.stdin.isTTY) {
    throw coded('USAGE', 'delay series add takes its value from --value or from stdin');
  }
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  const input = Buffer.concat(parts);
  const end = input.at(-1) === 0x0a ? (input.at(-2) === 0x0d ? 2 : 1) : 0;
  return input.subarray(0, input.length - end);
}

function ruleText(every: SeriesEvery): string {
  if ('intervalMs' in every) return formatDuration(every.intervalMs);
  if ('cron' in every) return `${every.cron} ${every.timeZone ?? 'UTC'}`;
  const { firstMs, factor, maxMs } = every;
  const most = maxMs === undefined ? '' : ` up to ${formatDuration(maxMs)}`;
  return `${formatDuration(firstMs)} × ${factor}${most}`;
}

function jsonOf({ key, ...rest }: SeriesInfo): Record<string, unknown> {
  return { ...rest, ...(key === undefined ? {} : { key: Buffer.from(key).toString() }) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
