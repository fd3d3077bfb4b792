import { parseArgs } from 'node:util';
import { coded } from '../base/errors.ts';
import { didYouMean } from '../config/nearest.ts';
import { formatDuration, parseBytes, parseDuration } from '../config/units.ts';

/** How the text of an option is read. */
export type OptionKind = 'text' | 'list' | 'count' | 'bytes' | 'duration' | 'choice' | 'boolean';

/** One `--option` of a command. */
export interface OptionSpec {
  readonly kind: OptionKind;
  readonly description: string;
  /** The actions of the command that it is for, and that begin its help; absent: all. */
  readonly of?: readonly string[];
  /** What stands for the value in the help, such as `HOST:PORT`. */
  readonly value?: string;
  /** As the user would write it. */
  readonly fallback?: string;
  readonly choices?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** A command's options by name, without dashes. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

interface ValueOf {
  text: string;
  list: readonly string[];
  count: number;
  bytes: number;
  duration: number;
  choice: string;
  boolean: boolean;
}

type Value<S extends OptionSpec> = S extends { choices: readonly (infer C)[] }
  ? C
  : ValueOf[S['kind']];

/** The values of options: those with a fallback, lists and booleans are always there. */
export type OptionValues<S extends OptionSpecs> = {
  readonly [K in keyof S]: S[K] extends { fallback: string } | { kind: 'list' | 'boolean' }
    ? Value<S[K]>
    : Value<S[K]> | undefined;
};

/** A command line, read. */
export interface CommandLine<S extends OptionSpecs> {
  readonly options: OptionValues<S>;
  readonly words: readonly string[];
}

/**
 * Reads a command's options and words: sizes to bytes, durations to milliseconds.
 * @throws CodedError `USAGE`, with the nearest name for an option that does not exist, and with the
 * actions for one that is not of the first word
 */
export function readCommandLine<const S extends OptionSpecs>(
  argv: readonly string[],
  specs: S,
): CommandLine<S> {
  const types = Object.entries(specs).map(
    ([name, spec]) => [name, { type: spec.kind === 'boolean' ? 'boolean' : 'string' }] as const,
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(types),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Record<string, unknown> = {};
  const words: string[] = [];
  const given: [rawName: string, spec: OptionSpec][] = [];
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.kind === 'list') values[name] = [];
    else if (spec.kind === 'boolean') values[name] = false;
    else values[name] = spec.fallback && readOption(name, spec, spec.fallback);
  }
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (spec === undefined) throw unknownOption(token.rawName, specs);
    given.push([token.rawName, spec]);
    const value = readToken(token, spec);
    if (spec.kind === 'list') (values[token.name] as string[]).push(String(value));
    else values[token.name] = value;
  }
  for (const [rawName, { of }] of given) refuseForeign(rawName, of, words[0]);
  return { options: values as OptionValues<S>, words };
}

/** An option that would be passed over in silence, such as `--due` of a list. */
function refuseForeign(rawName: string, of: readonly string[] | undefined, action?: string): void {
  if (of === undefined || action === undefined || of.includes(action)) return;
  throw coded('USAGE', `${rawName} is for ${of.join(', ')}, not for ${action}`);
}

/** A usage error for an option nobody knows. */
export function unknownOption(rawName: string, specs: OptionSpecs): Error {
  const names = [...Object.keys(specs), 'help'].map((name) => `--${name}`);
  return coded('USAGE', `unknown option ${rawName}${didYouMean(rawName, names)}`);
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function readToken(token: OptionToken, spec: OptionSpec): unknown {
  const { name, value } = token;
  if (spec.kind === 'boolean') {
    if (value === undefined || value === 'true') return true;
    if (value === 'false') return false;
    throw coded('USAGE', `--${name} takes no value`);
  }
  if (value === undefined || (token.inlineValue !== true && value.startsWith('--'))) {
    throw coded('USAGE', `--${name} needs a value: --${name}=${spec.value ?? 'VALUE'}`);
  }
  return readOption(name, spec, value);
}

function readOption(name: string, spec: OptionSpec, written: string): unknown {
  const wrong = (expected: string) =>
    coded('USAGE', `--${name}: ${JSON.stringify(written)} is not ${expected}`);
  switch (spec.kind) {
    case 'text':
    case 'list':
      return written;
    case 'choice':
      if (spec.choices?.includes(written) === true) return written;
      throw wrong(`one of ${spec.choices?.join(', ')}${didYouMean(written, spec.choices ?? [])}`);
    case 'bytes':
      return inRange(spec, parseBytes(written)) ?? fail(wrong('a size such as 64KiB'));
    case 'duration':
      return inRange(spec, parseDuration(written)) ?? fail(wrong(durationOf(spec)));
    default: {
      const count = /^\d{1,15}$/.test(written) ? Number(written) : undefined;
      const least = spec.minimum ?? 0;
      const most = spec.maximum === undefined ? '' : ` and at most ${spec.maximum}`;
      return inRange(spec, count) ?? fail(wrong(`a whole number of at least ${least}${most}`));
    }
  }
}

function durationOf({ minimum = 0 }: OptionSpec): string {
  const least = minimum === 0 ? '' : ` of at least ${formatDuration(minimum)},`;
  return `a duration${least} such as 20s`;
}

function inRange(spec: OptionSpec, value: number | undefined): number | undefined {
  if (value === undefined || value < (spec.minimum ?? 0)) return undefined;
  return value > (spec.maximum ?? Number.MAX_SAFE_INTEGER) ? undefined : value;
}

function fail(error: Error): never {
  throw error;
}
