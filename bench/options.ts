import { parseArgs } from 'node:util';
import { coded } from '../src/base/errors.ts';
import type { Question } from './question.ts';

/** What `npm run bench` was asked. */
export interface BenchOptions {
  /** Pairs of runs: each side once in each. */
  readonly pairs: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly quick: boolean;
  readonly list: boolean;
  readonly help: boolean;
  /** A figure that is not reached is a failure. */
  readonly strict: boolean;
  /** Names of questions, or beginnings of names. */
  readonly only: readonly string[];
  readonly kafka: string | undefined;
  readonly kafkaFolder: string | undefined;
}

export const usage = `npm run bench -- [options]   JSON on stdout, progress on stderr
  --only NAME        a question, or the beginning of its name; may be repeated
  --list             print the questions and end
  --pairs N          how often each side runs, in alternation (default 5)
  --seconds S        how long each run is counted (default 10)
  --quick            about a minute: one short run of the main questions
  --kafka HOST:PORT  a broker that runs, in place of one of its own
  --kafka-folder DIR where a broker of one's own keeps its log (default: the temp folder)
  --micro            single parts by themselves instead
  --strict           exit code 1 when a figure is not reached; else only when a message is missing`;

/** Reads the command line. @throws CodedError USAGE */
export function benchOptions(argv: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', multiple: true },
      pairs: text,
      seconds: text,
      kafka: text,
      'kafka-folder': text,
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      strict: { type: 'boolean', default: false },
    },
  });
  const { quick, list, help, strict } = values;
  return {
    pairs: positive('pairs', values.pairs, quick ? 1 : 5),
    seconds: positive('seconds', values.seconds, quick ? 1.5 : 10),
    warmupSeconds: quick ? 0.5 : 2,
    quick,
    list,
    help,
    strict,
    only: values.only ?? [],
    kafka: values.kafka,
    kafkaFolder: values['kafka-folder'],
  };
}

function positive(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!(value > 0)) throw coded('USAGE', `--${name} cannot be ${text}\n${usage}`);
  return value;
}

/** The questions that were meant. @throws CodedError USAGE when a name fits none */
export function chosen(all: readonly Question[], options: BenchOptions): readonly Question[] {
  const { only, quick } = options;
  if (only.length === 0) {
    return all.filter((question) => !question.onlyByName && (!quick || question.quick));
  }
  const exact = (name: string) => all.filter((question) => question.name === name);
  const begun = (name: string) => all.filter((question) => question.name.startsWith(name));
  const found = only.map((name) => {
    const fitting = exact(name).length > 0 ? exact(name) : begun(name);
    if (fitting.length > 0) return fitting;
    const names = all.map((question) => question.name).join(', ');
    throw coded('USAGE', `there is no question '${name}'; there are ${names}`);
  });
  return [...new Set(found.flat())];
}
