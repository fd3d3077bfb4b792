import { isDeepStrictEqual } from 'node:util';
import type { TSchema } from '@sinclair/typebox';
import { isLeaf } from './leaf.ts';
import { freeze } from './load.ts';
import { childOf } from './paths.ts';
import { type Config, configSchema } from './schema.ts';

/** What a running node makes of a configuration that was read again. */
export interface Reloaded {
  /** What it had, with those settings taken over that are marked for it. */
  readonly config: Config;
  /** Paths of changed settings that wait for a restart. */
  readonly waiting: readonly string[];
}

/** Puts together what a node runs with, and what it finds when it reads its configuration again. */
export function reloaded(running: Config, read: Config): Reloaded {
  const waiting: string[] = [];
  let { auth, tls } = read;
  // A listener is one with TLS or without for its life; files of another name are read.
  if ((tls.cert === undefined) !== (running.tls.cert === undefined)) {
    waiting.push('tls.cert', 'tls.key');
    tls = running.tls;
  }
  // So it is with tokens, whose file goes with the mechanism.
  if (auth.mechanism !== running.auth.mechanism) {
    waiting.push('auth.mechanism');
    auth = running.auth;
  }
  const now = { ...read, auth, tls };
  const config = merged(configSchema, { running, read: now, keys: [], waiting });
  return { config: freeze(config) as Config, waiting };
}

interface Place {
  readonly running: unknown;
  readonly read: unknown;
  readonly keys: readonly string[];
  readonly waiting: string[];
}

function merged(schema: TSchema, { running, read, keys, waiting }: Place): unknown {
  if (isLeaf(schema)) {
    if (schema.reload === true) return read;
    if (!isDeepStrictEqual(running, read)) waiting.push(keys.join('.'));
    return running;
  }
  const before = sectionOf(running);
  const after = sectionOf(read);
  const entries: [string, unknown][] = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const child = childOf(schema, key);
    if (child === undefined) continue;
    const at = { running: before[key], read: after[key], keys: [...keys, key], waiting };
    entries.push([key, merged(child, at)]);
  }
  if (running === undefined) return undefined;
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function sectionOf(value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : (value as Record<string, unknown>);
}
