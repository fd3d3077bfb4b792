import { didYouMean } from './nearest.ts';
import type { RawValue } from './origin.ts';
import { anyName, environmentOf, fileKeysOf, listSettings } from './paths.ts';
import { configSchema } from './schema.ts';

/** Variables that are ours without being settings, and those Kubernetes makes for a service. */
const otherVariables =
  /^MQPROXY_(CONFIG|TOKEN|TEST_.*|BENCH_.*|SERVICE_(HOST|PORT)(_.*)?|PORT(_.*)?)$/;

/** Reads the settings among environment variables. Unknown ones go to `faults`. */
export function environmentValues(
  env: Readonly<Record<string, string | undefined>>,
  faults: string[],
): RawValue[] {
  const names = new Map<string, readonly string[]>();
  for (const { path, keys, leaf } of listSettings(configSchema)) {
    if (path.includes(anyName)) continue;
    names.set(environmentOf(path), keys);
    if (leaf.secret === true) names.set(environmentOf(`${path}File`), fileKeysOf(keys));
  }
  const found: RawValue[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('MQPROXY_') || value === undefined || otherVariables.test(name)) continue;
    const keys = names.get(name);
    if (keys === undefined) {
      faults.push(`${name}: unknown setting${didYouMean(name, names.keys())} (environment)`);
    } else found.push({ keys, value, origin: { kind: 'environment', detail: name } });
  }
  return found;
}
