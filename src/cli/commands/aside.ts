import {
  type AsideLogName,
  type AsideMessage,
  type AsidePage,
  type AsideTopic,
  LIST_ASIDE,
  PURGE_ASIDE,
  RETRY_ASIDE,
} from '../../../protocol/src/aside.ts';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { coded } from '../../base/errors.ts';
import { readableBytes } from '../../config/units.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions, withNode } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { bodyOf } from '../outbox/messages.ts';
import { OutputBuffer, print, printJson, tableOf } from '../output.ts';
import { grouped } from '../progress.ts';
import { recordJson } from '../record.ts';

const pageMessages = 500;
const shownMessages = 20;

const options = {
  ...serverOptions,
  topic: { kind: 'text', value: 'NAME', description: 'Only this topic.' },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

/** `mqproxy parked list|show|export|retry`. */
export const parkedCommand = asideCommand('parked', {
  summary: 'Shows or tries again what is parked, of topics that take no messages.',
  details: 'It is tried by itself every 2 s and follows in order; retry does not wait for that.',
});

/** `mqproxy undeliverable list|show|export|retry|purge`. */
export const undeliverableCommand = asideCommand('undeliverable', {
  summary: 'Shows, tries again or discards what was refused for good.',
  details: [
    'retry  sends the messages again, in order and with their ids; what is refused again comes back',
    'purge  discards those of --topic for ever; export them first',
  ].join('\n'),
});

function asideCommand(
  log: AsideLogName,
  words: { readonly summary: string; readonly details: string },
): Command {
  const actions = ['list', 'show', 'export', 'retry', ...(log === 'parked' ? [] : ['purge'])];
  return {
    usage: `${log} ${actions.join(' | ')} [--topic NAME] [options]`,
    ...words,
    options,
    async run(argv) {
      const { options: own, words: given } = readCommandLine(argv, options);
      const [action = '', ...more] = given;
      if (!actions.includes(action) || more.length > 0) {
        throw coded('USAGE', `${log} takes one of ${actions.join(', ')}`);
      }
      const { topic, json } = own;
      await withNode(own, async (client) => {
        if (action === 'list') await list(client, log, topic, json);
        else if (action === 'show') await show(client, log, topic, json);
        else if (action === 'export') await exportAll(client, log, topic);
        else await change(client, action, { log, topic, json });
      });
      return exitCodes.ok;
    },
  };
}

async function list(
  client: MqpClient,
  log: AsideLogName,
  topic: string | undefined,
  json: boolean | undefined,
): Promise<void> {
  const topics = await topicsOf(client, log, topic);
  if (json === true) {
    for (const one of topics) await printJson(one);
    return;
  }
  const rows = topics.map((one) => [
    one.topic,
    one.lane,
    grouped(one.messages),
    readableBytes(one.bytes),
    new Date(one.sinceMs).toISOString(),
  ]);
  await print(tableOf(['topic', 'lane', 'messages', 'bytes', 'since'], rows));
}

async function show(
  client: MqpClient,
  log: AsideLogName,
  topic: string | undefined,
  json: boolean | undefined,
): Promise<void> {
  const found: AsideMessage[] = [];
  for await (const message of messagesOf(client, log, topic)) {
    found.push(message);
    if (found.length >= shownMessages) break;
  }
  if (json === true) {
    for (const message of found) await printJson(jsonOf(log, message));
    return;
  }
  const rows = found.map(({ id, topic: name, lane, code, reason }) => [
    id,
    name,
    lane,
    code,
    reason,
  ]);
  await print(tableOf(['id', 'topic', 'lane', 'code', 'reason'], rows));
}

async function exportAll(
  client: MqpClient,
  log: AsideLogName,
  topic: string | undefined,
): Promise<void> {
  const output = new OutputBuffer();
  for await (const message of messagesOf(client, log, topic)) {
    output.add(Buffer.from(`${JSON.stringify(jsonOf(log, message))}\n`));
    if (output.isFull) await output.flush();
  }
  await output.flush();
}

async function change(
  client: MqpClient,
  action: string,
  {
    log,
    topic,
    json,
  }: { log: AsideLogName; topic?: string | undefined; json?: boolean | undefined },
): Promise<void> {
  if (action === 'purge' && topic === undefined) {
    throw coded('USAGE', 'purge discards messages for ever: name the topic with --topic');
  }
  const request = { log, ...(topic === undefined ? {} : { topic }) };
  const done = await client.ask(action === 'purge' ? PURGE_ASIDE : RETRY_ASIDE, request);
  if (json === true) await printJson(done);
  else
    await print(`${grouped(done.messages)} ${action === 'purge' ? 'discarded' : 'tried again'}\n`);
}

function ask(
  client: MqpClient,
  request: Parameters<typeof LIST_ASIDE.encode>[2],
): Promise<AsidePage> {
  return client.ask(LIST_ASIDE, request, { changesNothing: true });
}

async function topicsOf(
  client: MqpClient,
  log: AsideLogName,
  topic: string | undefined,
): Promise<readonly AsideTopic[]> {
  return (await ask(client, { log, ...(topic === undefined ? {} : { topic }) })).topics;
}

async function* messagesOf(
  client: MqpClient,
  log: AsideLogName,
  only: string | undefined,
): AsyncGenerator<AsideMessage> {
  const names = new Set((await topicsOf(client, log, only)).map(({ topic }) => topic));
  for (const topic of names) {
    let cursor: string | undefined;
    do {
      const request = { log, topic, limit: pageMessages };
      const page = await ask(client, cursor === undefined ? request : { ...request, cursor });
      yield* page.messages;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
}

function jsonOf(log: AsideLogName, message: AsideMessage): Record<string, unknown> {
  const { id, topic, lane, code, reason, flags, acceptedMs } = message;
  const record = {
    ...bodyOf(flags, Buffer.from(message.body)),
    topic,
    id,
    timestampMs: acceptedMs,
  };
  return { ...recordJson(record), state: log, lane, code, reason };
}
