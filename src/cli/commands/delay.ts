import type { Delayed, DelayedRef, DelayOutcome } from '../../../protocol/src/delayed.ts';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { coded } from '../../base/errors.ts';
import { parseDuration } from '../../config/units.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { timeOf } from '../due-option.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';
import { awayText, clusterName, delaySeriesCommand } from './delay-series.ts';

const options = {
  ...serverOptions,
  topic: { kind: 'text', value: 'TOPIC', description: 'Messages for this topic.' },
  key: {
    kind: 'text',
    value: 'KEY',
    of: ['show', 'cancel', 'move'],
    description: 'the message that --topic and this key name, by --unique.',
  },
  from: { kind: 'text', value: 'TIME', of: ['list'], description: 'due at this time or later.' },
  to: { kind: 'text', value: 'TIME', of: ['list'], description: 'due before this time.' },
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
  due: { kind: 'text', value: 'TIME', of: ['move'], description: 'the new due time.' },
  delay: {
    kind: 'text',
    value: 'TIME',
    of: ['move'],
    description: 'due so long from now, such as 15s.',
  },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type DelayOptions = OptionValues<typeof options>;

/** `mqproxy delay list|show|cancel|move|stats`; `delay series` has options of its own. */
export const delayCommand: Command = {
  usage: 'delay list | show ID | cancel ID | move ID --due TIME | stats | series … [options]',
  summary: 'Lists, shows, cancels and moves messages that wait for their due time.',
  details: [
    'A TIME is ISO 8601 or milliseconds since 1970. In place of ID, --topic and --key name a',
    'message that was sent with --unique. cancel and move end with exit code 1 when it was too late',
    'or nothing waits under that name. Messages that come again and again: delay series --help.',
  ].join('\n'),
  options,
  part: (word) => (word === 'series' ? delaySeriesCommand : undefined),
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, id, ...others] = words;
    const work = actionOf('delay', actions, action, ['series']);
    if (others.length > 0) throw coded('USAGE', `delay ${action} takes one id at most`);
    return withNode(own, (client) => work(client, own, id));
  },
};

type Action = (client: MqpClient, own: DelayOptions, id: string | undefined) => Promise<number>;

const actions: Readonly<Record<string, Action>> = { list, show, cancel, move, stats };

async function list(client: MqpClient, own: DelayOptions): Promise<number> {
  const { topic, from, to, limit, cursor } = own;
  const page = await client.delayed.list({
    limit,
    ...(topic === undefined ? {} : { topic }),
    ...(from === undefined ? {} : { fromMs: timeOf('from', from) }),
    ...(to === undefined ? {} : { toMs: timeOf('to', to) }),
    ...(cursor === undefined ? {} : { cursor }),
  });
  if (own.json) {
    for (const delay of page.delays) await printJson(jsonOf(delay));
    const { cursor: next, unreachable } = page;
    if (unreachable !== undefined) await printJson({ unreachable });
    if (next !== undefined) await printJson({ cursor: next });
    return exitCodes.ok;
  }
  const rows = page.delays.map((it) => [iso(it.dueMs), it.topic, it.valueBytes ?? 0, it.id]);
  await print(tableOf(['due', 'topic', 'bytes', 'id'], rows));
  await print(awayText(page));
  if (page.cursor !== undefined) await print(`\nmore: --cursor ${page.cursor}\n`);
  return exitCodes.ok;
}

async function show(client: MqpClient, own: DelayOptions, id?: string): Promise<number> {
  const delay = await client.delayed.get(refOf(own, id));
  if (own.json) await printJson(jsonOf(delay));
  else {
    const lines = Object.entries(jsonOf(delay)).map(([name, value]) => `${name}  ${value}`);
    await print(`${lines.join('\n')}\n`);
  }
  return exitCodes.ok;
}

async function cancel(client: MqpClient, own: DelayOptions, id?: string): Promise<number> {
  return tell(own, { outcome: await client.delayed.cancel(refOf(own, id)) });
}

async function move(client: MqpClient, own: DelayOptions, id?: string): Promise<number> {
  const { due, delay } = own;
  if ((due === undefined) === (delay === undefined)) {
    throw coded('USAGE', 'delay move takes either --due or --delay');
  }
  const delayMs = delay === undefined ? undefined : parseDuration(delay);
  if (delay !== undefined && delayMs === undefined) {
    throw coded('USAGE', `--delay: ${JSON.stringify(delay)} is not a duration, such as 15s`);
  }
  const when = due === undefined ? { delayMs: delayMs ?? 0 } : { dueMs: timeOf('due', due) };
  return tell(own, await client.delayed.move({ ...refOf(own, id), ...when }));
}

async function stats(client: MqpClient, own: DelayOptions): Promise<number> {
  const found = await client.delayed.stats(own.topic);
  if (own.json) {
    await printJson(found);
    return exitCodes.ok;
  }
  const { clusters = [], unreachable, ...sums } = found;
  await print(statsText(sums));
  for (const { cluster, ...counts } of clusters) {
    await print(`\n${clusterName(cluster)} cluster\n${statsText(counts)}`);
  }
  await print(awayText(found));
  return exitCodes.ok;
}

/** Counts as people read them, a line each. */
export function statsText(counts: object): string {
  const { atLeast, ...others } = counts as { readonly atLeast?: boolean };
  const lines = Object.entries(others).map(([name, value]) => {
    if (name === 'pending' && atLeast === true) return `${name}  ${value} or more`;
    return `${name}  ${Array.isArray(value) ? value.join(', ') : value}`;
  });
  return `${lines.join('\n')}\n`;
}

async function tell(
  own: DelayOptions,
  result: { outcome: DelayOutcome; dueMs?: number },
): Promise<number> {
  if (own.json) await printJson(result);
  else await print(`${result.outcome}\n`);
  const isDone = ['cancelled', 'moved', 'accepted'].includes(result.outcome);
  return isDone ? exitCodes.ok : exitCodes.refused;
}

function refOf({ topic, key }: DelayOptions, id: string | undefined): DelayedRef {
  if (id !== undefined) return { id };
  if (topic !== undefined && key !== undefined) return { topic, key };
  throw coded('USAGE', 'name the message by its id, or by --topic and --key');
}

function jsonOf(delay: Delayed): Record<string, unknown> {
  const { key, value, ...rest } = delay;
  return {
    ...rest,
    ...(key === undefined ? {} : { key: Buffer.from(key).toString() }),
    ...(value === undefined ? {} : { value: value && Buffer.from(value).toString() }),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
