import { readFileSync } from 'node:fs';
import type { TSchema } from '@sinclair/typebox';
import { coded, firstLineOf } from '../base/errors.ts';
import { yaml } from '../base/yaml.ts';
import { isLeaf, type Leaf } from './leaf.ts';
import { didYouMean } from './nearest.ts';
import type { Origin, RawValue } from './origin.ts';
import { anyName, childOf, childrenOf, listSettings } from './paths.ts';
import { configSchema } from './schema.ts';

/**
 * Reads the settings of a YAML file. Unknown keys go to `faults`, with the nearest name.
 * @throws CodedError `CONFIG_INVALID` when it cannot be read or is not YAML
 */
export function fileValues(file: string, faults: string[]): RawValue[] {
  let content: unknown;
  try {
    const document = yaml().parseDocument(readFileSync(file, 'utf8'));
    const [first] = document.errors;
    if (first !== undefined) throw first;
    content = document.toJS();
  } catch (error) {
    throw coded('CONFIG_INVALID', `${file}: ${firstLineOf(error)}`, { cause: error });
  }
  const found: RawValue[] = [];
  const origin: Origin = { kind: 'file', detail: file };
  walkFile({ schema: configSchema, keys: [] }, content, { origin, faults, found });
  return found;
}

interface FileWalk {
  readonly origin: Origin;
  readonly faults: string[];
  readonly found: RawValue[];
}

function walkFile(at: { schema: TSchema; keys: string[] }, value: unknown, walk: FileWalk): void {
  const { schema, keys } = at;
  const here = keys.join('.');
  // A section or a setting left empty in YAML is null: as if it were not there.
  if (value === null || value === undefined) return;
  if (isLeaf(schema)) {
    walk.found.push({ keys, value, origin: walk.origin });
    return;
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    const inside = Object.keys(childrenOf(schema)).slice(0, 3).join(', ');
    const name = here === '' ? 'the file' : here;
    walk.faults.push(`${name}: a section (with ${inside} …) is expected (${walk.origin.detail})`);
    return;
  }
  for (const [key, child] of Object.entries(value)) {
    const next = childOf(schema, key) ?? secretOf(schema, key);
    if (next === undefined) {
      walk.faults.push(unknownKey([...keys, key].join('.'), walk.origin.detail));
    } else walkFile({ schema: next, keys: [...keys, key] }, child, walk);
  }
}

/** The secret whose `…File` form `key` is. */
function secretOf(schema: TSchema, key: string): Leaf | undefined {
  if (!key.endsWith('File')) return undefined;
  const leaf = childrenOf(schema)[key.slice(0, -'File'.length)];
  return leaf !== undefined && isLeaf(leaf) && leaf.secret === true ? leaf : undefined;
}

function unknownKey(path: string, where: string): string {
  const settings = listSettings(configSchema);
  const known = settings.map((setting) => setting.path).filter((name) => !name.includes(anyName));
  const sections = known.map((name) => name.slice(0, name.lastIndexOf('.'))).filter(Boolean);
  return `${path}: unknown key${didYouMean(path, [...sections, ...known])} (${where})`;
}
