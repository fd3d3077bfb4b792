import { systemClock } from '../../base/clock.ts';
import { coded, codeOf, messageOf } from '../../base/errors.ts';
import { formatDuration, readableBytes } from '../../config/units.ts';
import type { LaneStore } from '../../store/lane-store.ts';
import { actionOf } from '../action.ts';
import type { Command } from '../command.ts';
import { configFileOption, splitConfigFlags } from '../config-flags.ts';
import { exitCodes } from '../exit-code.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { laneNumbers, withLane } from '../outbox/lanes.ts';
import { asideMessages, type OutboxMessage, waitingMessages } from '../outbox/messages.ts';
import { relaneOutbox } from '../outbox/relane.ts';
import { OutputBuffer, print, printJson, tableOf } from '../output.ts';
import { grouped } from '../progress.ts';
import { recordJson } from '../record.ts';

const shownAside = 20;
const asideLogs = ['undeliverable', 'parked'] as const;

const options = {
  ...configFileOption,
  'data-dir': { kind: 'text', value: 'DIR', description: 'The data folder of the node.' },
  lane: { kind: 'count', value: 'N', description: 'Only this lane.' },
  state: {
    kind: 'choice',
    choices: ['all', 'waiting', 'undeliverable', 'parked'],
    fallback: 'all',
    of: ['export'],
    description: 'which messages.',
  },
  json: { kind: 'boolean', description: 'Print JSON, an object a line.' },
} as const;

type Own = OptionValues<typeof options>;

interface Context {
  readonly own: Own;
  readonly dataDir: string;
  readonly lanes: readonly number[];
}

/** `mqproxy outbox inspect|verify|export|relane`: the node must not be running. */
export const outboxCommand: Command = {
  usage: 'outbox inspect | verify | export | relane N [--data-dir DIR] [options]',
  summary: 'Looks into the outbox of a stopped node, or deals it out to another number of lanes.',
  details: [
    'inspect  what waits, what was refused for good, and the space it takes',
    'verify   reads everything and checks chain, mark and checksums; exit code 70 on a fault',
    'export   prints the messages as JSON, in the shape of tail --json, with state and sequence',
    'relane   changes the number of lanes; every message and window stays',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, ...rest] = words;
    const work = actionOf('outbox', actions, action);
    if (rest.length !== (action === 'relane' ? 1 : 0)) {
      throw coded('USAGE', action === 'relane' ? 'outbox relane takes one N' : 'too many words');
    }
    const dataDir = own['data-dir'] ?? dataDirOf(own.config);
    // A change of lanes that was interrupted leaves what only relane itself can read.
    const all = action === 'relane' ? [] : await laneNumbers(dataDir);
    const lanes = own.lane === undefined ? all : all.filter((lane) => lane === own.lane);
    if (lanes.length === 0 && own.lane !== undefined)
      throw coded('NO_OUTBOX', `there is no lane ${own.lane} in ${dataDir}`);
    await work({ own, dataDir, lanes }, rest[0] ?? '');
    return exitCodes.ok;
  },
};

const actions: Readonly<Record<string, (context: Context, word: string) => Promise<void>>> = {
  inspect,
  verify,
  export: exportMessages,
  relane,
};

function dataDirOf(file: string | undefined): string {
  const argv = file === undefined ? [] : [`--config=${file}`];
  return splitConfigFlags(argv, configFileOption).load().config.dataDir;
}

async function inspect({ own, dataDir, lanes }: Context): Promise<void> {
  const rows: unknown[][] = [];
  const aside: OutboxMessage[] = [];
  for (const lane of lanes) {
    const found = await withLane(dataDir, lane, async (store) => {
      for (const log of asideLogs) await collect(aside, asideMessages(store, log), shownAside);
      return { lane, ...store.stats(), ...countsOf(store), diskBytes: await store.diskBytes() };
    });
    if (own.json) await printJson(found);
    const age = found.oldestAcceptedMs && systemClock.now() - found.oldestAcceptedMs;
    rows.push([
      lane,
      grouped(found.unconfirmedMessages),
      grouped(found.batches),
      readableBytes(found.liveBytes),
      age === undefined ? '-' : formatDuration(Math.round(age / 1000) * 1000),
      grouped(found.undeliverable),
      grouped(found.parked),
      found.nextSequence,
      readableBytes(found.diskBytes),
    ]);
  }
  if (own.json) {
    for (const message of aside) await printJson(messageJson(message));
    return;
  }
  const headings = [
    'lane',
    'waiting',
    'batches',
    'bytes',
    'oldest',
    'undeliverable',
    'parked',
    'next',
    'disk',
  ];
  await print(tableOf(headings, rows));
  for (const log of asideLogs) {
    const cells = aside
      .filter(({ state }) => state === log)
      .map(({ id, topic, code, reason }) => [id, topic, code, reason]);
    if (cells.length === 0) continue;
    await print(`\n${log} (at most ${shownAside}; all: mqproxy outbox export --state ${log})\n`);
    await print(tableOf(['id', 'topic', 'code', 'reason'], cells));
  }
}

function countsOf({ aside }: LaneStore): { undeliverable: number; parked: number } {
  return { undeliverable: aside.messages('undeliverable'), parked: aside.messages('parked') };
}

async function verify({ own, dataDir, lanes }: Context): Promise<void> {
  const damaged: number[] = [];
  for (const lane of lanes) {
    try {
      const found = await withLane(dataDir, lane, verifyLane);
      if (own.json) await printJson({ lane, ...found, verified: true });
      else await print(`lane ${lane}: whole; ${countsInWords(found)}\n`);
    } catch (error) {
      if (codeOf(error) !== 'STORE_CORRUPT') throw error;
      damaged.push(lane);
      const reason = messageOf(error);
      if (own.json) await printJson({ lane, verified: false, reason });
      else await print(`${reason}\n`);
    }
  }
  if (damaged.length === 0) return;
  const which = `${damaged.length === 1 ? 'lane' : 'lanes'} ${damaged.join(', ')}`;
  throw coded('STORE_CORRUPT', `damaged: ${which}; nothing was changed`);
}

/** What a lane holds, read to its last message. */
interface VerifiedLane {
  readonly waiting: number;
  readonly undeliverable: number;
  readonly parked: number;
  readonly logged: number;
}

async function verifyLane(store: LaneStore): Promise<VerifiedLane> {
  const waiting = await countOf(waitingMessages(store));
  const undeliverable = await countOf(asideMessages(store, 'undeliverable'));
  const parked = await countOf(asideMessages(store, 'parked'));
  return { waiting, undeliverable, parked, logged: await verifyLog(store) };
}

function countsInWords({ waiting, undeliverable, parked, logged }: VerifiedLane): string {
  const aside = `${grouped(undeliverable)} undeliverable, ${grouped(parked)} parked`;
  return `${grouped(waiting)} waiting, ${aside}, ${grouped(logged)} in the log`;
}

/** Reads the whole embedded log, which checks it; the number of its messages. */
async function verifyLog({ chunks }: LaneStore): Promise<number> {
  let messages = 0;
  for (const { topicId, partition, startOffset, nextOffset } of await chunks.partitions()) {
    for (let offset = startOffset; offset < nextOffset; ) {
      const read = await chunks.read({ topicId, partition, offset }, 4 * 2 ** 20);
      const last = read.at(-1);
      if (last === undefined) break;
      for (const chunk of read) messages += chunk.messages;
      offset = last.baseOffset + last.messages;
    }
  }
  return messages;
}

async function exportMessages({ own, dataDir, lanes }: Context): Promise<void> {
  const output = new OutputBuffer();
  for (const lane of lanes) {
    await withLane(dataDir, lane, async (store) => {
      const { state } = own;
      const sources = [
        ...(state === 'all' || state === 'waiting' ? [waitingMessages(store)] : []),
        ...asideLogs
          .filter((log) => state === 'all' || state === log)
          .map((log) => asideMessages(store, log)),
      ];
      for (const source of sources) {
        for await (const message of source) {
          output.add(Buffer.from(`${JSON.stringify(messageJson(message))}\n`));
          if (output.isFull) await output.flush();
        }
      }
    });
  }
  await output.flush();
}

async function relane({ own, dataDir }: Context, word: string): Promise<void> {
  const lanes = /^\d{1,2}$/.test(word) ? Number(word) : 0;
  if (lanes < 1 || lanes > 16) throw coded('USAGE', `${word} is not a number of lanes, 1 to 16`);
  const moved = await relaneOutbox(dataDir, lanes);
  if (own.json) await printJson(moved);
  else await print(`${moved.summary}\n`);
}

function messageJson(message: OutboxMessage): Record<string, unknown> {
  const { state, sequence, code, reason } = message;
  const refusal = code === undefined ? {} : { code, reason };
  return { ...recordJson(message), state, sequence, ...refusal };
}

async function collect<T>(into: T[], from: AsyncIterable<T>, countMax: number): Promise<void> {
  let count = 0;
  for await (const item of from) {
    if (count++ >= countMax) return;
    into.push(item);
  }
}

async function countOf(from: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of from) count++;
  return count;
}
