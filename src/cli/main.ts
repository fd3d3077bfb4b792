import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, coded, codeOf, messageOf } from '../base/errors.ts';
import { packageRoot } from '../base/package-root.ts';
import { didYouMean } from '../config/nearest.ts';
import { type Command, columns, helpOf } from './command.ts';
import { exitCodeOf, exitCodes } from './exit-code.ts';
import { closeOutput, print } from './output.ts';

interface Entry {
  readonly summary: string;
  /** Loaded on use, so that a small command starts without the node's code. */
  load(): Promise<Command>;
}

const entries: Readonly<Record<string, Entry>> = {
  serve: {
    summary: 'Run a node.',
    load: async () => (await import('./commands/serve.ts')).serveCommand,
  },
  produce: {
    summary: 'Send the lines of stdin to a topic.',
    load: async () => (await import('./commands/produce.ts')).produceCommand,
  },
  tail: {
    summary: 'Print the messages of a topic.',
    load: async () => (await import('./commands/tail.ts')).tailCommand,
  },
  delay: {
    summary: 'List, show, move and cancel delayed messages, and series of them.',
    load: async () => (await import('./commands/delay.ts')).delayCommand,
  },
  consume: {
    summary: 'Consume a topic for a group, and ack what was printed.',
    load: async () => (await import('./commands/consume.ts')).consumeCommand,
  },
  topic: {
    summary: 'Create, list and describe topics.',
    load: async () => (await import('./commands/topic.ts')).topicCommand,
  },
  group: {
    summary: 'List, describe, pause, resume, reset and delete groups.',
    load: async () => (await import('./commands/group.ts')).groupCommand,
  },
  cluster: {
    summary: 'Show which Kafka cluster is used and why, or set it by hand.',
    load: async () => (await import('./commands/cluster.ts')).clusterCommand,
  },
  parked: {
    summary: 'Show or try again what is parked, of topics that take no messages.',
    load: async () => (await import('./commands/aside.ts')).parkedCommand,
  },
  undeliverable: {
    summary: 'Show, try again or discard what was refused for good.',
    load: async () => (await import('./commands/aside.ts')).undeliverableCommand,
  },
  status: {
    summary: 'Show what a node is doing.',
    load: async () => (await import('./commands/status.ts')).statusCommand,
  },
  'check-config': {
    summary: 'Show each effective setting and where it comes from.',
    load: async () => (await import('./commands/check-config.ts')).checkConfigCommand,
  },
  doctor: {
    summary: 'Check disk, ports and Kafka, and say what to do.',
    load: async () => (await import('./commands/doctor.ts')).doctorCommand,
  },
  outbox: {
    summary: 'Inspect, verify, export or relane the outbox of a stopped node.',
    load: async () => (await import('./commands/outbox.ts')).outboxCommand,
  },
  dlq: {
    summary: 'List and show dead letters, put them back, or drop them.',
    load: async () => (await import('./commands/dlq.ts')).dlqCommand,
  },
  bench: {
    summary: 'Measure a node under load.',
    load: async () => (await import('./commands/bench.ts')).benchCommand,
  },
};

/**
 * The program: runs the command of `argv` (without node and script) and sets the exit code.
 * Nothing is thrown; an error is one line on stderr, and a second with what to do.
 */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    process.exitCode = await run(argv);
    await closeOutput();
  } catch (error) {
    const code = report(error);
    await closeOutput().catch(() => undefined);
    // What failed half way may have left a thread or a socket that would keep the process alive.
    process.exit(code);
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(overview());
    return exitCodes.usage;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const command = rest[0] === undefined ? undefined : await find(rest[0]);
    await print(command === undefined ? overview() : helpOf(command));
    return exitCodes.ok;
  }
  if (name === '--version' || name === 'version') {
    await print(`mqproxy ${packageVersion()}\n`);
    return exitCodes.ok;
  }
  const whole = await find(name);
  const part = whole.part?.(rest[0]);
  const command = part ?? whole;
  if (part !== undefined) rest.shift();
  const words = rest.slice(0, rest.includes('--') ? rest.indexOf('--') : rest.length);
  if (words.includes('--help') || words.includes('-h')) {
    await print(helpOf(command));
    return exitCodes.ok;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (codeOf(error) !== 'USAGE') throw error;
    const hint = `mqproxy ${name} --help`;
    throw coded('USAGE', messageOf(error), { cause: error, hint: `see ${hint}` });
  }
}

async function find(name: string): Promise<Command> {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry !== undefined) return entry.load();
  const what = name.startsWith('-') ? 'option' : 'command';
  throw coded('USAGE', `unknown ${what} ${name}${didYouMean(name, Object.keys(entries))}`, {
    hint: 'see mqproxy --help',
  });
}

/** What to do about what a node says, where a command can do it. */
const nodeHints: Readonly<Record<string, string>> = {
  NOT_OWNER:
    'name that node too: --server HOST:PORT,HOST:PORT (mqproxy status shows the id of one)',
};

function report(error: unknown): number {
  // What nobody gave a code is a fault of ours: its place is worth more than a tidy line.
  if (codeOf(error) === 'INTERNAL' && error instanceof Error) {
    process.stderr.write(`mqproxy: internal fault: ${error.stack ?? error.message}\n`);
    return exitCodes.refused;
  }
  // What a node says has a code that can be looked up; our own words stand for themselves.
  const code = codeOf(error);
  const isSaid = error instanceof CodedError || messageOf(error).includes(code);
  const prefix = isSaid ? '' : `${code}: `;
  for (const line of messageOf(error).split('\n')) {
    process.stderr.write(`mqproxy: ${prefix}${line}\n`);
  }
  const hint = error instanceof CodedError ? error.hint : nodeHints[code];
  if (hint !== undefined) process.stderr.write(`  ${hint}\n`);
  return exitCodeOf(error);
}

function overview(): string {
  const rows = Object.entries(entries).map(([name, { summary }]) => [name, summary] as const);
  return [
    'Usage: mqproxy COMMAND [options]',
    '',
    "Messages are safe on this node's disk before they are answered, then sent to Apache Kafka.",
    '',
    'Commands:',
    columns(rows),
    '',
    'mqproxy COMMAND --help explains one. --version prints the version.',
    'Exit codes: 0 well, 1 refused or unreachable, 2 usage, 70 store, 78 configuration.',
    '',
  ].join('\n');
}

function packageVersion(): string {
  const manifest = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
