import { type SchemaOptions, type TLiteral, type TSchema, Type } from '@sinclair/typebox';
import { formatBytes, formatDuration, parseBytes, parseDuration } from './units.ts';

/** How the text of a setting is read, and how its value is shown. */
export type LeafKind =
  | 'text'
  | 'path'
  | 'address'
  | 'addresses'
  | 'bytes'
  | 'duration'
  | 'durations'
  | 'count'
  | 'boolean'
  | 'choice';

/** What a setting says about itself beyond JSON Schema. */
export interface LeafMarks {
  readonly kind: LeafKind;
  readonly description: string;
  /** A word that may stand for the number: `auto` or `off`. */
  readonly word?: string;
  /** Never shown; may also be given as the path of a file, under the name with `File` appended. */
  readonly secret?: boolean;
  /** Taken over by SIGHUP without a restart. */
  readonly reload?: boolean;
}

/** One setting of the schema. */
export type Leaf = TSchema & LeafMarks;

type Extra = Omit<LeafMarks, 'kind' | 'description' | 'word'> & SchemaOptions;

const addressPattern = '^(\\[[0-9a-fA-F:.]+\\]|[^\\s:\\[\\]]+):\\d{1,5}$';

export const text = (description: string, extra: Extra = {}) =>
  Type.String({ kind: 'text', description, minLength: 1, ...extra });

export const path = (description: string, extra: Extra = {}) =>
  Type.String({ kind: 'path', description, minLength: 1, ...extra });

/** `HOST:PORT`, an IPv6 host in brackets. */
export const address = (description: string, extra: Extra = {}) =>
  Type.String({ kind: 'address', description, pattern: addressPattern, ...extra });

/** A list of `HOST:PORT`: a YAML list, or one text with commas. */
export const addresses = (description: string, extra: Extra = {}) =>
  Type.Array(Type.String({ pattern: addressPattern }), {
    kind: 'addresses',
    description,
    default: [],
    ...extra,
  });

export const bytes = (description: string, extra: Extra & { minimum?: number; maximum?: number }) =>
  Type.Integer({ kind: 'bytes', description, minimum: 0, ...extra });

export const duration = (
  description: string,
  extra: Extra & { minimum?: number; maximum?: number },
) => Type.Integer({ kind: 'duration', description, minimum: 0, maximum: 2 ** 31 - 1, ...extra });

/** A list of durations: a YAML list, or one text with commas. */
export const durations = (description: string, extra: Extra = {}) =>
  Type.Array(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), {
    kind: 'durations',
    description,
    maxItems: 100,
    ...extra,
  });

export const count = (description: string, extra: Extra & { minimum?: number; maximum?: number }) =>
  Type.Integer({ kind: 'count', description, minimum: 0, ...extra });

/** A number, or one word that stands for it. */
export function orWord<W extends string>(
  word: W,
  kind: 'bytes' | 'duration' | 'count',
  description: string,
  range: { minimum: number; maximum?: number } & Extra,
) {
  const { minimum, maximum, ...extra } = range;
  const number = Type.Integer(maximum === undefined ? { minimum } : { minimum, maximum });
  const marks = { kind, word, description, minimum, maximum, default: word, ...extra };
  return Type.Union([Type.Literal(word), number], marks);
}

export const flag = (description: string, extra: Extra = {}) =>
  Type.Boolean({ kind: 'boolean', description, ...extra });

export function choice<const T extends readonly string[]>(
  values: T,
  description: string,
  extra: Extra = {},
) {
  const literals = values.map((value) => Type.Literal(value)) as TLiteral<T[number]>[];
  return Type.Union(literals, { kind: 'choice', description, ...extra });
}

/** Whether a schema node is a setting (and not a section). */
export function isLeaf(schema: TSchema): schema is Leaf {
  return typeof schema['kind'] === 'string';
}

/** The values a `choice` allows, in order. */
export function choicesOf(leaf: Leaf): string[] {
  const parts = (leaf['anyOf'] ?? [leaf]) as { const?: string }[];
  return parts.flatMap((part) => (part.const === undefined ? [] : [part.const]));
}

/**
 * Reads a raw value (from a flag, the environment or YAML) as the setting's type. Ranges and
 * patterns are left to the schema.
 * @returns the value, or undefined when it cannot be read at all
 */
export function readLeaf(leaf: Leaf, raw: unknown): unknown {
  if (typeof raw === 'string' && leaf.word !== undefined && raw === leaf.word) return raw;
  switch (leaf.kind) {
    case 'bytes':
      return typeof raw === 'string' ? parseBytes(raw) : numberOf(raw);
    case 'duration':
      return typeof raw === 'string' ? parseDuration(raw) : numberOf(raw);
    case 'count':
      return typeof raw === 'string' && /^\d+$/.test(raw.trim()) ? Number(raw) : numberOf(raw);
    case 'boolean':
      if (raw === 'true') return true;
      return raw === 'false' ? false : typeof raw === 'boolean' ? raw : undefined;
    case 'addresses':
      return readList(raw);
    case 'durations':
      return readDurations(raw);
    default:
      if (typeof raw === 'number') return String(raw);
      return typeof raw === 'string' ? raw : undefined;
  }
}

/** The value as a user would write it: sizes and durations with their units, lists with commas. */
export function showLeaf(leaf: Leaf, value: unknown): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) {
    const shown = leaf.kind === 'durations' ? value.map(formatDuration) : value;
    return shown.join(',');
  }
  if (typeof value !== 'number') return String(value);
  if (leaf.kind === 'bytes') return formatBytes(value);
  return leaf.kind === 'duration' ? formatDuration(value) : String(value);
}

/** What may be written, in words, for messages and the reference page. */
export function formOf(leaf: Leaf): string {
  const word = leaf.word === undefined ? '' : `\`${leaf.word}\` or `;
  switch (leaf.kind) {
    case 'bytes':
      return `${word}a size such as 64MiB`;
    case 'duration':
      return `${word}a duration such as 20s`;
    case 'durations':
      return 'durations such as 1s,10s,1m';
    case 'count':
      return `${word}a whole number${rangeOf(leaf)}`;
    case 'boolean':
      return 'true or false';
    case 'choice':
      return `one of ${choicesOf(leaf).join(', ')}`;
    case 'address':
      return 'HOST:PORT';
    case 'addresses':
      return 'HOST:PORT, several with commas';
    case 'path':
      return 'a path';
    default:
      return 'text';
  }
}

/** The bound of a size or a duration that a value is beyond, in words that follow its form. */
export function boundOf(leaf: Leaf, value: unknown): string {
  const { minimum, maximum } = leaf as { minimum?: number; maximum?: number };
  if (typeof value !== 'number' || (leaf.kind !== 'bytes' && leaf.kind !== 'duration')) return '';
  if (minimum !== undefined && value < minimum) return `, at least ${showLeaf(leaf, minimum)}`;
  if (maximum !== undefined && value > maximum) return `, at most ${showLeaf(leaf, maximum)}`;
  return '';
}

function rangeOf(leaf: Leaf): string {
  const { minimum, maximum } = leaf as { minimum?: number; maximum?: number };
  if (maximum !== undefined) return ` from ${minimum ?? 0} to ${maximum}`;
  return minimum === undefined || minimum === 0 ? '' : ` of at least ${minimum}`;
}

function numberOf(raw: unknown): number | undefined {
  return typeof raw === 'number' ? raw : undefined;
}

function readDurations(raw: unknown): number[] | undefined {
  const parts = Array.isArray(raw) ? raw : readList(String(raw));
  const found = (parts ?? []).map((part) =>
    typeof part === 'string' ? parseDuration(part) : numberOf(part),
  );
  return found.includes(undefined) ? undefined : (found as number[]);
}

function readList(raw: unknown): string[] | undefined {
  if (Array.isArray(raw)) return raw.every((item) => typeof item === 'string') ? raw : undefined;
  if (typeof raw !== 'string') return undefined;
  return raw
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
