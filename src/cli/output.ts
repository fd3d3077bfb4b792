import { coded, messageOf } from '../base/errors.ts';

const { stdout } = process;
let isGone = false;
let failure: Error | undefined;

// A reader that went away (`| head`) is no error of ours: what is written after it goes nowhere.
// A full disk under a redirection is one: what was printed is not all there is.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  isGone = true;
  if (error.code === 'EPIPE') return;
  failure = coded('OUTPUT_FAILED', `stdout cannot be written: ${messageOf(error)}`, {
    cause: error,
  });
});

/** Whether nobody reads stdout any more. */
export function isOutputGone(): boolean {
  return isGone || stdout.destroyed;
}

/**
 * Writes to stdout; resolves when there is room for more, or nobody reads any more.
 * @throws CodedError `OUTPUT_FAILED` once stdout could not be written
 */
export async function print(data: string | Uint8Array): Promise<void> {
  if (failure !== undefined) throw failure;
  if (isOutputGone() || stdout.write(data)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      stdout.off('drain', done);
      stdout.off('close', done);
      resolve();
    };
    stdout.on('drain', done);
    stdout.on('close', done);
  });
}

/**
 * Resolves when everything printed has left the process, or nobody reads any more.
 * @throws CodedError `OUTPUT_FAILED` when stdout could not be written
 */
export async function closeOutput(): Promise<void> {
  if (!isOutputGone() && stdout.writableLength > 0) {
    await new Promise<void>((resolve) => {
      stdout.write('', () => resolve());
      stdout.once('close', resolve);
    });
  }
  // A file is written at once, and its error told only after this turn.
  await new Promise((resolve) => setImmediate(resolve));
  if (failure !== undefined) throw failure;
}

/** Collects many small pieces and prints them together; the caller waits for room in between. */
export class OutputBuffer {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax = 64 * 1024) {
    this.#bytesMax = bytesMax;
  }

  /** Keeps `data` until the next flush. It must not change before. */
  add(data: Uint8Array): void {
    this.#parts.push(data);
    this.#bytes += data.length;
  }

  get isFull(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  async flush(): Promise<void> {
    if (this.#bytes === 0) return;
    const data = Buffer.concat(this.#parts, this.#bytes);
    this.#parts = [];
    this.#bytes = 0;
    await print(data);
  }
}

/** Prints JSON on one line. */
export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value)}\n`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** Names and keys come from anybody: what would steer the terminal or break a line is spelt out. */
function cellOf(cell: unknown): string {
  if (cell === undefined) return '';
  return String(cell).replace(CONTROLS, (one) => {
    return `\\x${(one.codePointAt(0) as number).toString(16).padStart(2, '0')}`;
  });
}

/** Rows under headings, numbers to the right; control characters are spelt out. */
export function tableOf(
  headings: readonly string[],
  rows: readonly (readonly unknown[])[],
): string {
  const cells = rows.map((row) => row.map(cellOf));
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const isNumber = (column: number) => rows.length > 0 && typeof rows[0]?.[column] === 'number';
  const lines = [[...headings], ...cells].map((row) =>
    row
      .map((cell, i) => (isNumber(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}
