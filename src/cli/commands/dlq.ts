import {
  type DeadFilter,
  type DeadLetter,
  type DeadLettersOf,
  LIST_DEAD,
  PURGE_DEAD,
  REDRIVE_DEAD,
  type RedriveProgress,
} from '../../../protocol/src/dead-letters.ts';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { deadFilterOf, deadFilterOptions } from '../dlq/dead-filter.ts';
import { letterJson, letterPage, letterTable } from '../dlq/letter-text.ts';
import { exitCodes } from '../exit-code.ts';
import { type ServerOptions, serverOptions, withNode } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { isOutputGone, print, printJson } from '../output.ts';
import { grouped, Progress } from '../progress.ts';

const options = {
  ...serverOptions,
  group: { kind: 'text', value: 'GROUP', description: 'The group that gave the messages up.' },
  ...deadFilterOptions,
  limit: { kind: 'count', minimum: 1, value: 'N', description: 'At most so many.' },
  rate: {
    kind: 'count',
    minimum: 1,
    value: 'N',
    of: ['redrive'],
    description: 'messages a second.',
  },
  'dry-run': { kind: 'boolean', of: ['redrive', 'purge'], description: 'only count.' },
  yes: {
    kind: 'boolean',
    of: ['purge'],
    description: 'without it only counts, as with --dry-run.',
  },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type DlqOptions = OptionValues<typeof options>;

/** Letters asked for at once. */
const PAGE = 500;
/** Between two looks at a job, in ms. */
const LOOK_MS = 200;
/** A listing or a count of many letters takes its time, in ms. */
const TIMEOUT_MS = 120_000;

/** `mqproxy dlq list|show|redrive|purge`. */
export const dlqCommand: Command = {
  usage: 'dlq list | show | redrive | purge TOPIC --group GROUP [options]',
  summary: 'Lists and shows dead letters, puts them back into their topic, or drops them.',
  details: [
    'Dead letters of a group lie in the topic TOPIC.GROUP.dlq. A redrive puts them into TOPIC again,',
    'for all its groups, with new attempts. What was put back or purged is not listed any more.',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, topic, ...more] = words;
    const work = actionOf('dlq', actions, action);
    if (topic === undefined || more.length > 0) throw coded('USAGE', `dlq ${action} takes a topic`);
    if (own.group === undefined) throw coded('USAGE', `dlq ${action} needs --group GROUP`);
    const of = { topic, group: own.group };
    const filter = deadFilterOf(own, systemClock.now());
    const run = (client: MqpClient): Promise<number> => work(client, own, { ...of, filter });
    return withNode(own as ServerOptions, run, TIMEOUT_MS);
  },
};

type Wanted = DeadLettersOf & { readonly filter: DeadFilter };
type Action = (client: MqpClient, own: DlqOptions, wanted: Wanted) => Promise<number>;

const actions: Readonly<Record<string, Action>> = { list, show, redrive, purge };

async function* lettersOf(
  client: MqpClient,
  wanted: Wanted,
  { limit = Number.POSITIVE_INFINITY, values }: { limit?: number | undefined; values: boolean },
): AsyncGenerator<readonly DeadLetter[]> {
  let left = limit;
  for (let cursor: string | undefined; left > 0; ) {
    const request = { ...wanted, values, limit: Math.min(PAGE, left), cursor };
    const page = await client.ask(LIST_DEAD, request, { changesNothing: true });
    left -= page.messages.length;
    if (page.messages.length > 0) yield page.messages;
    cursor = page.cursor;
    if (cursor === undefined || isOutputGone()) return;
  }
}

async function list(client: MqpClient, own: DlqOptions, wanted: Wanted): Promise<number> {
  let count = 0;
  for await (const letters of lettersOf(client, wanted, { limit: own.limit, values: false })) {
    if (own.json) for (const letter of letters) await printJson(letterJson(letter));
    else await print(letterTable(letters, count === 0));
    count += letters.length;
  }
  if (count === 0 && !own.json) await print('no dead letters\n');
  return exitCodes.ok;
}

async function show(client: MqpClient, own: DlqOptions, wanted: Wanted): Promise<number> {
  let count = 0;
  for await (const letters of lettersOf(client, wanted, { limit: own.limit ?? 1, values: true })) {
    for (const letter of letters) {
      if (own.json) await printJson(letterJson(letter));
      else await print(`${count === 0 ? '' : '\n'}${letterPage(letter)}`);
      count += 1;
    }
  }
  if (count > 0) return exitCodes.ok;
  throw coded('NOT_FOUND', 'there is no such dead letter');
}

async function redrive(client: MqpClient, own: DlqOptions, wanted: Wanted): Promise<number> {
  const request = { ...wanted, limit: own.limit };
  // What will be moved is counted first: it is the end of the bar.
  const counted = await client.ask(REDRIVE_DEAD, { ...request, dryRun: true });
  if (own['dry-run']) {
    if (own.json) await printJson(counted);
    else await print(`${grouped(counted.matched)} dead letters would be put back\n`);
    return exitCodes.ok;
  }
  let seen = await client.ask(REDRIVE_DEAD, { ...request, ratePerSecond: own.rate });
  const { job = '' } = seen;
  const progress = new Progress(() => barOf(seen, counted.matched));
  try {
    while (seen.state === 'running') {
      await sleep(systemClock, LOOK_MS);
      seen = await client.ask(REDRIVE_DEAD, { job }, { changesNothing: true });
    }
  } finally {
    progress.end();
  }
  if (own.json) await printJson(seen);
  else await print(`${grouped(seen.moved)} dead letters were put back into ${wanted.topic}\n`);
  if (seen.state === 'done') return exitCodes.ok;
  throw coded('REDRIVE_FAILED', seen.error ?? 'the redrive ended early', {
    hint: 'what was put back is marked: begin again to go on with the rest',
  });
}

async function purge(client: MqpClient, own: DlqOptions, wanted: Wanted): Promise<number> {
  const dryRun = own['dry-run'] || !own.yes;
  const done = await client.ask(PURGE_DEAD, { ...wanted, dryRun });
  if (own.json) await printJson(done);
  else if (!dryRun) await print(`${grouped(done.purged)} dead letters were dropped\n`);
  else await print(`${grouped(done.matched)} dead letters would be dropped; --yes drops them\n`);
  return exitCodes.ok;
}

/** `[#####-----] 5,000 of 10,000`. */
function barOf({ moved }: RedriveProgress, total: number): string {
  const width = 30;
  const full = total === 0 ? width : Math.min(width, Math.floor((moved / total) * width));
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}] ${grouped(moved)} of ${grouped(total)}`;
}
