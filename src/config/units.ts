/** Bytes of each unit of a size: powers of 1024 with an `i`, of 1000 without. */
const byteUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kb', 1e3],
  ['mb', 1e6],
  ['gb', 1e9],
  ['tb', 1e12],
  ['kib', 2 ** 10],
  ['mib', 2 ** 20],
  ['gib', 2 ** 30],
  ['tib', 2 ** 40],
]);

const durationUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['ms', 1],
  ['s', 1e3],
  ['m', 60e3],
  ['h', 3600e3],
  ['d', 86_400e3],
]);

/**
 * Reads a size such as `64MiB`, `1.5GiB`, `2MB` or `4096` (bytes).
 * @returns whole bytes, or undefined when the text is not a size
 */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, byteUnits);
}

/**
 * Reads a duration such as `20s`, `5m`, `250ms`, `7d` or `100` (milliseconds).
 * @returns whole milliseconds, or undefined when the text is not a duration
 */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, durationUnits);
}

/** Writes bytes with the largest binary unit that divides them: reading it back is exact. */
export function formatBytes(bytes: number): string {
  return formatExact(
    bytes,
    [
      ['TiB', 2 ** 40],
      ['GiB', 2 ** 30],
      ['MiB', 2 ** 20],
      ['KiB', 2 ** 10],
    ],
    '',
  );
}

/** Writes milliseconds with the largest unit that divides them: reading it back is exact. */
export function formatDuration(ms: number): string {
  return formatExact(
    ms,
    [
      ['d', 86_400e3],
      ['h', 3600e3],
      ['m', 60e3],
      ['s', 1e3],
    ],
    'ms',
  );
}

/** Bytes for people, rounded: `1.5 GiB`. */
export function readableBytes(bytes: number): string {
  for (const [unit, scale] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= scale) return `${(bytes / scale).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)$/i.exec(text.trim().replaceAll('_', ''));
  if (match === null) return undefined;
  const scale = units.get((match[2] ?? '').toLowerCase());
  if (scale === undefined) return undefined;
  const value = Math.round(Number(match[1]) * scale);
  return Number.isSafeInteger(value) ? value : undefined;
}

function formatExact(value: number, units: [string, number][], rest: string): string {
  if (value === 0) return `0${rest}`;
  for (const [name, scale] of units) if (value % scale === 0) return `${value / scale}${name}`;
  return `${value}${rest}`;
}
