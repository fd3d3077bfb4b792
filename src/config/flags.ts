import { coded } from '../base/errors.ts';
import { isLeaf, type Leaf } from './leaf.ts';
import { didYouMean } from './nearest.ts';
import type { RawValue } from './origin.ts';
import { anyName, childOf, fileKeysOf, flagOf, keysOfNamed, listSettings } from './paths.ts';
import { configSchema } from './schema.ts';

interface KnownFlag {
  readonly keys: readonly string[];
  readonly leaf: Leaf;
}

const settings = listSettings(configSchema);
const known = knownFlags();

/** The names of all settings' flags, without dashes; for suggestions and help. */
export function configFlagNames(): string[] {
  return [...known.keys()];
}

/** Whether `name` (without dashes) is a setting's flag that may stand without a value. */
export function isBooleanFlag(name: string): boolean {
  return findFlag(name)?.leaf.kind === 'boolean';
}

/** Whether `name` (without dashes) is a setting's flag. */
export function isConfigFlag(name: string): boolean {
  return findFlag(name) !== undefined;
}

/**
 * Reads settings from flags: `--lanes 2`, `--lanes=2`, and `--allow-degraded-ack` for `true`.
 * @throws CodedError `USAGE` for anything that is not a setting's flag, or lacks its value
 */
export function flagSources(argv: readonly string[]): RawValue[] {
  const found: RawValue[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(argument);
    const name = match?.[1] ?? '';
    const flag = match === null ? undefined : findFlag(name);
    if (flag === undefined) throw unknownFlag(argument, name);
    let value = match?.[2];
    const next = argv[i + 1];
    if (value === undefined && flag.leaf.kind === 'boolean') {
      value = next === 'true' || next === 'false' ? next : 'true';
      if (value === next) i++;
    } else if (value === undefined) {
      if (next === undefined || next.startsWith('--')) {
        throw coded('USAGE', `--${name} needs a value`);
      }
      value = next;
      i++;
    }
    found.push({ keys: flag.keys, value, origin: { kind: 'flag', detail: `--${name}` } });
  }
  return found;
}

function unknownFlag(argument: string, name: string): Error {
  if (name === '') return coded('USAGE', `${JSON.stringify(argument)} is not expected here`);
  const names = configFlagNames().map((flag) => `--${flag}`);
  return coded('USAGE', `unknown flag --${name}${didYouMean(`--${name}`, names)}`);
}

function findFlag(name: string): KnownFlag | undefined {
  const flag = known.get(name);
  if (flag !== undefined) return flag;
  const keys = keysOfNamed(settings, name, flagOf);
  if (keys === undefined) return undefined;
  let schema = childOf(configSchema, keys[0] ?? '');
  for (const part of keys.slice(1)) schema = schema && childOf(schema, part);
  return schema !== undefined && isLeaf(schema) ? { keys, leaf: schema } : undefined;
}

function knownFlags(): Map<string, KnownFlag> {
  const flags = new Map<string, KnownFlag>();
  for (const { path, keys, leaf } of settings) {
    if (path.includes(anyName)) continue;
    flags.set(flagOf(path), { keys, leaf });
    if (leaf.secret !== true) continue;
    flags.set(flagOf(`${path}File`), { keys: fileKeysOf(keys), leaf });
  }
  return flags;
}
