import type { GroupDescription } from '../../../protocol/src/groups.ts';
import type { GroupPlace } from '../../../sdk/ts/src/group-admin.ts';
import { coded } from '../../base/errors.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { type ServerOptions, serverOptions, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';

const options = {
  ...serverOptions,
  prefix: { kind: 'text', value: 'TEXT', of: ['list'], description: 'only names that begin so.' },
  topic: { kind: 'text', value: 'TOPIC', of: ['reset'], description: 'in this topic; needed.' },
  partition: { kind: 'count', value: 'N', of: ['reset'], description: 'in this partition alone.' },
  to: {
    kind: 'text',
    value: 'beginning|end|OFFSET|TIME',
    of: ['reset'],
    description: 'where to go on; TIME is ISO 8601; needed.',
  },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type GroupOptions = OptionValues<typeof options>;

const clusterNames = ['primary', 'backup'];

/** `mqproxy group list|describe|pause|resume|reset|delete`. */
export const groupCommand: Command = {
  usage: 'group list | describe|pause|resume|reset|delete GROUP [options]',
  summary: 'Lists groups of consumers, shows where they stand, holds, moves and deletes them.',
  details: [
    'pause holds what this node delivers to the group, also over restarts, resume goes on. reset sets where it goes on',
    'in a topic: what is out is delivered to nobody else and cannot be acked any more.',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, ...names] = words;
    const work = actionOf('group', actions, action);
    const wanted = action === 'list' ? 0 : 1;
    if (names.length !== wanted) {
      const form = wanted === 0 ? 'takes no name (but --prefix)' : 'takes one GROUP';
      throw coded('USAGE', `group ${action} ${form}`);
    }
    await work(own, names[0] ?? '');
    return exitCodes.ok;
  },
};

const actions: Readonly<Record<string, (own: GroupOptions, group: string) => Promise<void>>> = {
  list: (own) => list(own),
  describe,
  pause: (own, group) => change(own, group, 'paused', (client) => client.groups.pause(group)),
  resume: (own, group) => change(own, group, 'resumed', (client) => client.groups.resume(group)),
  reset,
  delete: (own, group) => change(own, group, 'deleted', (client) => client.groups.delete(group)),
};

async function list(own: GroupOptions): Promise<void> {
  const groups = await withNode(own as ServerOptions, (client) => client.groups.list(own.prefix));
  if (own.json) {
    for (const group of groups) await printJson(group);
    return;
  }
  const rows = groups.map((it) => [it.group, it.state, it.mode ?? '-', it.subscriptions]);
  await print(tableOf(['group', 'state', 'mode', 'subscriptions'], rows));
}

async function describe(own: GroupOptions, name: string): Promise<void> {
  const group = await withNode(own as ServerOptions, (client) => client.groups.describe(name));
  if (own.json) {
    await printJson(group);
    return;
  }
  const members = group.members.map((it) => [
    it.client,
    it.peer ?? '-',
    it.subscription,
    it.creditMessages,
    it.out,
    it.idleMs ?? '-',
  ]);
  const partitions = group.partitions.map((it) => [
    it.topic,
    it.partition,
    clusterNames[it.cluster] ?? it.cluster,
    it.floor,
    it.endOffset ?? '-',
    it.lag ?? '-',
    it.out ?? '-',
    it.node ?? '-',
  ]);
  const parts = [
    `group  ${group.group}\nstate  ${group.state}${sinceOf(group)}\nmode   ${group.mode ?? '-'}\n`,
    tableOf(['client', 'peer', 'subscription', 'credit', 'out', 'idle ms'], members),
    tableOf(['topic', 'partition', 'cluster', 'floor', 'end', 'lag', 'out', 'read by'], partitions),
  ];
  for (const { topic, partition, fault } of group.partitions) {
    if (fault === undefined) continue;
    parts.push(`commits of ${topic}/${partition} fail: ${fault.code}: ${fault.message}\n`);
  }
  for (const cluster of group.unreachable ?? []) {
    parts.push(`the ${clusterNames[cluster] ?? cluster} cluster does not answer\n`);
  }
  await print(parts.join('\n'));
}

function sinceOf({ paused }: GroupDescription): string {
  if (paused === undefined) return '';
  const from = paused.from === undefined ? '' : ` (${paused.from})`;
  return ` since ${new Date(paused.atMs).toISOString()} by ${paused.by}${from}`;
}

async function reset(own: GroupOptions, group: string): Promise<void> {
  const { topic, to } = own;
  if (topic === undefined || to === undefined) {
    throw coded('USAGE', 'group reset needs --topic TOPIC and --to beginning|end|OFFSET|TIME');
  }
  const place = placeOf(to);
  const moved = await withNode(own as ServerOptions, (client) =>
    client.groups.reset(group, topic, place, own.partition),
  );
  if (own.json) {
    for (const partition of moved) await printJson({ group, topic, ...partition });
    return;
  }
  const rows = moved.map((it) => [it.partition, clusterNames[it.cluster] ?? it.cluster, it.offset]);
  await print(tableOf(['partition', 'cluster', 'goes on at'], rows));
}

async function change(
  own: GroupOptions,
  group: string,
  done: string,
  work: Parameters<typeof withNode<void>>[1],
): Promise<void> {
  await withNode(own as ServerOptions, work);
  if (own.json) await printJson({ group, done });
  else await print(`${done} ${group}\n`);
}

function placeOf(text: string): GroupPlace {
  if (text === 'beginning' || text === 'end') return text;
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) };
  const time = /^\d{4}-\d{2}/.test(text) ? new Date(text) : undefined;
  if (time !== undefined && !Number.isNaN(time.getTime())) return time;
  throw coded('USAGE', `--to: ${JSON.stringify(text)} is not beginning, end, an offset or a time`);
}
