import type { TopicDescription } from '../../../sdk/ts/src/types.ts';
import { coded } from '../../base/errors.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { type ServerOptions, serverOptions, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';

const options = {
  ...serverOptions,
  partitions: {
    kind: 'count',
    minimum: 1,
    value: 'N',
    of: ['create'],
    description: 'its partitions.',
  },
  'replication-factor': {
    kind: 'count',
    minimum: 1,
    value: 'N',
    of: ['create'],
    description: 'copies of each partition.',
  },
  config: {
    kind: 'list',
    value: 'NAME=VALUE',
    of: ['create'],
    description: 'a setting of the backend, such as retention.ms=3600000; repeatable.',
  },
  prefix: { kind: 'text', value: 'TEXT', of: ['list'], description: 'only names that begin so.' },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type TopicOptions = OptionValues<typeof options>;

/** `mqproxy topic create|list|describe`. */
export const topicCommand: Command = {
  usage: 'topic create NAME | list | describe NAME [options]',
  summary: 'Creates, lists and describes topics.',
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, ...names] = words;
    const wanted = action === 'list' ? 0 : 1;
    const work = actionOf('topic', actions, action);
    if (names.length !== wanted) {
      const form = wanted === 0 ? 'takes no name (but --prefix)' : 'takes one name';
      throw coded('USAGE', `topic ${action} ${form}`);
    }
    await work(own, names[0] ?? '');
    return exitCodes.ok;
  },
};

const actions: Readonly<Record<string, (own: TopicOptions, name: string) => Promise<void>>> = {
  create,
  list: (own) => list(own),
  describe,
};

async function create(own: TopicOptions, name: string): Promise<void> {
  const config = Object.fromEntries(own.config.map(settingOf));
  const input = {
    ...(own.partitions === undefined ? {} : { partitions: own.partitions }),
    ...(own['replication-factor'] === undefined
      ? {}
      : { replicationFactor: own['replication-factor'] }),
    ...(own.config.length === 0 ? {} : { config }),
  };
  const made = await withNode(own as ServerOptions, (client) => client.createTopic(name, input));
  if (own.json) await printJson(made);
  else await print(`created ${made.name} with ${countOf(made)} partitions\n`);
}

async function list(own: TopicOptions): Promise<void> {
  const topics = await withNode(own as ServerOptions, (client) => client.listTopics(own.prefix));
  if (own.json) {
    for (const topic of topics) await printJson(topic);
    return;
  }
  await print(
    tableOf(
      ['topic', 'partitions'],
      topics.map((it) => [it.name, it.partitions]),
    ),
  );
}

async function describe(own: TopicOptions, name: string): Promise<void> {
  const topic = await withNode(own as ServerOptions, (client) => client.describeTopic(name));
  if (own.json) {
    await printJson(topic);
    return;
  }
  const lines = [
    `topic               ${topic.name}`,
    `replication factor  ${topic.replicationFactor}`,
    `min in-sync         ${topic.minInsyncReplicas}`,
    `largest message     ${topic.messageBytesMax} bytes`,
    ...Object.entries(topic.config).map(([key, value]) => `${key}  ${String(value)}`),
  ];
  const rows = topic.partitions.map((it) => [
    it.partition,
    it.startOffset,
    it.endOffset,
    it.endOffset - it.startOffset,
    it.leader ?? '-',
  ]);
  const table = tableOf(['partition', 'start', 'end', 'offsets', 'leader'], rows);
  await print(`${lines.join('\n')}\n\n${table}`);
}

function countOf(topic: TopicDescription): number {
  return topic.partitions.length;
}

function settingOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw coded('USAGE', `--config: ${JSON.stringify(text)} is not NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
