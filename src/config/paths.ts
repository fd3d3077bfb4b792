import type { TSchema } from '@sinclair/typebox';
import { isLeaf, type Leaf } from './leaf.ts';

/** One setting with its place in the configuration. */
export interface Setting {
  /** Dotted camelCase path, such as `kafka.options.linger.ms`. */
  readonly path: string;
  readonly keys: readonly string[];
  readonly leaf: Leaf;
}

/** Stands in a path for a name that the user chooses. */
export const anyName = '<name>';

/** Every setting of a schema, in the order it is written there. */
export function listSettings(schema: TSchema, keys: readonly string[] = []): Setting[] {
  if (isLeaf(schema)) return [{ path: keys.join('.'), keys, leaf: schema }];
  return Object.entries(childrenOf(schema)).flatMap(([key, child]) =>
    listSettings(child, [...keys, key]),
  );
}

/** The entries of a section; a record has the one entry {@link anyName}. */
export function childrenOf(schema: TSchema): Record<string, TSchema> {
  if (schema['properties'] !== undefined) return schema['properties'] as Record<string, TSchema>;
  const patterns = schema['patternProperties'] as Record<string, TSchema> | undefined;
  const [record] = Object.values(patterns ?? {});
  return record === undefined ? {} : { [anyName]: record };
}

/** The schema of one key of a section, also where the user chooses the name. */
export function childOf(schema: TSchema, key: string): TSchema | undefined {
  const children = childrenOf(schema);
  return Object.hasOwn(children, key) ? children[key] : children[anyName];
}

/**
 * The keys of a path that holds a name which the user chose: the name may have dots, so it is what
 * stands between what the schema knows.
 * @param spell how the schema's own keys are written in `path`
 * @returns undefined when no such setting fits
 */
export function keysOfNamed(
  settings: readonly Setting[],
  path: string,
  spell: (path: string) => string = (own) => own,
): string[] | undefined {
  let best: string[] | undefined;
  for (const { keys } of settings) {
    const at = keys.indexOf(anyName);
    if (at < 0) continue;
    const before = keys.slice(0, at);
    const after = keys.slice(at + 1);
    const head = `${spell(before.join('.'))}.`;
    const tail = `.${spell(after.join('.'))}`;
    const isNamed = path.length > head.length + tail.length;
    if (!isNamed || !path.startsWith(head) || !path.endsWith(tail)) continue;
    if (best !== undefined && best.length >= keys.length) continue;
    best = [...before, path.slice(head.length, path.length - tail.length), ...after];
  }
  return best;
}

/** The flag of a path, without its dashes: `limits.frameBytesMax` → `limits.frame-bytes-max`. */
export function flagOf(path: string): string {
  return path.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The environment name of a path: `lane.ringBytes` → `MQPROXY_LANE_RING_BYTES`. */
export function environmentOf(path: string): string {
  return `MQPROXY_${flagOf(path).replaceAll(/[.-]/g, '_').toUpperCase()}`;
}

/** The keys of a secret's `…File` form. */
export function fileKeysOf(keys: readonly string[]): string[] {
  return [...keys.slice(0, -1), `${keys.at(-1)}File`];
}
