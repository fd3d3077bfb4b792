import { coded } from '../../base/errors.ts';
import { formatDuration, readableBytes } from '../../config/units.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions, withNode } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';
import { grouped } from '../progress.ts';

const options = {
  ...serverOptions,
  json: { kind: 'boolean', description: 'Print one JSON object.' },
} as const;

type StatusMap = Readonly<Record<string, unknown>>;

/** `mqproxy status`: one screen of what the node says of itself. */
export const statusCommand: Command = {
  usage: 'status [options]',
  summary: 'Shows what a node is doing.',
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    if (words.length > 0) throw coded('USAGE', 'status takes options only');
    const status = await withNode(own, (client) => client.status());
    await (own.json ? printJson(plain(status)) : print(statusScreen(status)));
    return exitCodes.ok;
  },
};

/** The node's map as text: plain values first, then a section for each map and list. */
export function statusScreen(status: StatusMap): string {
  const parts = [pairs(Object.entries(status).filter(([, value]) => isPlain(value)))];
  for (const [name, value] of Object.entries(status)) {
    if (isPlain(value)) continue;
    const text = sectionOf(value);
    if (text !== '') parts.push(`${titleOf(name)}\n${indent(text)}`);
  }
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function sectionOf(value: unknown): string {
  if (!Array.isArray(value)) {
    const entries = flatten(value as StatusMap, '');
    return pairs(entries);
  }
  const rows = value as unknown[];
  if (rows.length === 0) return '';
  if (rows.every(isPlain)) return rows.map((row) => String(row)).join('\n');
  const flat = rows.map((row) => new Map(flatten(row as StatusMap, '')));
  const names = [...new Set(flat.flatMap((row) => [...row.keys()]))];
  const cells = flat.map((row) => names.map((name) => shown(name, row.get(name))));
  const across = tableOf(names.map(titleOf), cells).trimEnd();
  if (across.indexOf('\n') <= screenColumns) return across;
  const down = names.map((name, i) => [titleOf(name), ...cells.map((row) => row[i])]);
  const [headings = [], ...rest] = down;
  return tableOf(headings.map(String), rest).trimEnd();
}

const screenColumns = 96;

function flatten(map: StatusMap, prefix: string): [string, unknown][] {
  return Object.entries(map).flatMap(([key, value]): [string, unknown][] => {
    if (isPlain(value) || Array.isArray(value)) return [[prefix + key, value]];
    return flatten(value as StatusMap, `${prefix}${key}.`);
  });
}

function pairs(entries: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(0, ...entries.map(([name]) => titleOf(name).length));
  return entries
    .map(([name, value]) => `${titleOf(name).padEnd(width)}  ${shown(name, value)}`)
    .join('\n');
}

/** The unit is last in a name: it goes to the value instead. */
function shown(name: string, value: unknown): string {
  if (value === undefined || value === null) return '-';
  if (Array.isArray(value)) return value.map(String).join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value !== 'number' || name === 'pid') return String(value);
  if (isTime(name, value)) return new Date(value).toISOString();
  if (/bytes/i.test(name)) return readableBytes(value);
  if (/Ms$/.test(name)) return value < 1000 ? `${value} ms` : formatDuration(roundMs(value));
  return Number.isInteger(value) ? grouped(value) : value.toFixed(2);
}

const earliestMs = 1_500_000_000_000;

function isTime(name: string, value: number): boolean {
  return /Ms$/.test(name) && value > earliestMs;
}

function roundMs(ms: number): number {
  return Math.round(ms / 1000) * 1000;
}

function titleOf(name: string): string {
  const spaced = name
    .replace(/Ms$/, '')
    .replaceAll('.', ' ')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2');
  return spaced.toLowerCase();
}

function isPlain(value: unknown): boolean {
  return typeof value !== 'object' || value === null || value instanceof Date;
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

/** msgpack may give bigints, which JSON has not. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, plain(child)]));
}
