import { readFileSync } from 'node:fs';
import type { TSchema } from '@sinclair/typebox';
import { Errors } from '@sinclair/typebox/errors';
import { coded, messageOf } from '../base/errors.ts';
import { checkTogether } from './check.ts';
import { environmentValues } from './environment.ts';
import { fileValues } from './file.ts';
import { flagSources } from './flags.ts';
import { boundOf, formOf, isLeaf, type Leaf, readLeaf } from './leaf.ts';
import type { Origin, RawValue } from './origin.ts';
import { anyName, childOf, childrenOf, listSettings } from './paths.ts';
import { type Config, configSchema } from './schema.ts';

/** What {@link loadConfig} reads. */
export interface ConfigSources {
  /** Flags only, such as `['--lanes', '2']`. */
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The path of a YAML file. */
  readonly file?: string | undefined;
}

/** The effective configuration, and where each of its values came from, by dotted path. */
export interface LoadedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, Origin>;
}

const settings = listSettings(configSchema);

/**
 * Reads the configuration: flag before environment before file before default.
 * @throws CodedError `CONFIG_INVALID`, every fault in one message, a line each; `USAGE` for a flag
 *   that does not exist
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const faults: string[] = [];
  const values = new Map<string, RawValue>();
  const layers = [
    sources.file === undefined ? [] : fileValues(sources.file, faults),
    environmentValues(sources.env ?? {}, faults),
    flagSources(sources.argv ?? []),
  ];
  // A secret and its `…File` form are one setting, so that the stronger layer wins over both.
  for (const layer of layers) {
    const seen = new Set<string>();
    for (const raw of layer) {
      const path = settingPath(raw.keys);
      if (seen.has(path)) faults.push(`${path}: given twice, by ${raw.origin.detail} too`);
      seen.add(path);
      values.set(path, raw);
    }
  }
  const tree = defaultsOf(configSchema) as Record<string, unknown>;
  const origins = new Map<string, Origin>();
  for (const { path } of settings) origins.set(path, { kind: 'default', detail: 'default' });
  for (const [path, raw] of values) {
    place(tree, raw, faults);
    origins.set(path, raw.origin);
  }
  faults.push(...schemaFaults(tree, origins));
  if (faults.length === 0) faults.push(...checkTogether(tree as unknown as Config));
  if (faults.length > 0) {
    throw coded('CONFIG_INVALID', faults.join('\n'), {
      hint: 'mqproxy check-config shows each value and its origin',
    });
  }
  return { config: freeze(tree) as unknown as Config, origins: originsOf(tree, origins) };
}

/** The setting a written path belongs to: itself, or the secret whose `…File` form it is. */
function settingPath(keys: readonly string[]): string {
  const path = keys.join('.');
  return leafAt(keys) === undefined ? path.slice(0, -'File'.length) : path;
}

function leafAt(keys: readonly string[]): Leaf | undefined {
  let schema: TSchema | undefined = configSchema;
  for (const key of keys) schema = schema === undefined ? undefined : childOf(schema, key);
  return schema !== undefined && isLeaf(schema) ? schema : undefined;
}

function place(tree: Record<string, unknown>, raw: RawValue, faults: string[]): void {
  const path = settingPath(raw.keys);
  const fromFile = path !== raw.keys.join('.');
  const keys = fromFile ? [...raw.keys.slice(0, -1), path.split('.').at(-1) ?? ''] : raw.keys;
  const leaf = leafAt(keys);
  if (leaf === undefined) return;
  const written = fromFile ? readSecret(String(raw.value), path, faults) : raw.value;
  const value = readLeaf(leaf, written);
  if (value === undefined) {
    const shown = leaf.secret === true ? 'what was given' : JSON.stringify(written);
    faults.push(`${path}: ${shown} is not ${formOf(leaf)} (${raw.origin.detail})`);
    return;
  }
  setAt(tree, keys, value);
}

function setAt(tree: Record<string, unknown>, keys: readonly string[], value: unknown): void {
  let section = tree;
  let schema: TSchema = configSchema;
  for (const key of keys.slice(0, -1)) {
    schema = childOf(schema, key) ?? schema;
    if (!Object.hasOwn(section, key)) section[key] = defaultsOf(schema);
    section = section[key] as Record<string, unknown>;
  }
  const last = keys.at(-1);
  if (last !== undefined) section[last] = value;
}

function readSecret(file: string, path: string, faults: string[]): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    faults.push(`${path}File: ${messageOf(error)}`);
    return '-';
  }
}

function defaultsOf(schema: TSchema): unknown {
  if (isLeaf(schema)) return structuredClone(schema.default as unknown);
  const entries = Object.entries(childrenOf(schema)).filter(([key]) => key !== anyName);
  const filled = entries.map(([key, child]) => [key, defaultsOf(child)] as const);
  return Object.fromEntries(filled.filter(([, value]) => value !== undefined));
}

function schemaFaults(tree: unknown, origins: ReadonlyMap<string, Origin>): string[] {
  const faults = new Map<string, string>();
  for (const { path: pointer, value, message } of Errors(configSchema, tree)) {
    const keys = pointer.slice(1).split('/').map(unescapePointer);
    while (keys.length > 0 && leafAt(keys) === undefined) keys.pop();
    const leaf = leafAt(keys);
    const path = keys.join('.');
    if (leaf === undefined) {
      faults.set(pointer, `${pointer}: ${message}`);
      continue;
    }
    const origin = origins.get(path)?.detail ?? 'default';
    faults.set(path, `${path}: must be ${formOf(leaf)}${boundOf(leaf, value)} (${origin})`);
  }
  return [...faults.values()];
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** Defaults inside a record only count for the names that are there. */
function originsOf(tree: unknown, given: ReadonlyMap<string, Origin>): Map<string, Origin> {
  const origins = new Map<string, Origin>();
  for (const [path, origin] of given) if (!path.includes(anyName)) origins.set(path, origin);
  for (const { keys } of settings) {
    const at = keys.indexOf(anyName);
    if (at < 0) continue;
    const after = keys.slice(at + 1);
    for (const [name, entry] of Object.entries(valueAt(tree, keys.slice(0, at)) ?? {})) {
      const path = [...keys.slice(0, at), name, ...after].join('.');
      const isThere = valueAt(entry, after) !== undefined;
      if (isThere && !origins.has(path)) origins.set(path, { kind: 'default', detail: 'default' });
    }
  }
  return origins;
}

function valueAt(tree: unknown, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], tree);
}

/** Freezes a value and all that is in it. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) freeze(child);
    Object.freeze(value);
  }
  return value;
}
