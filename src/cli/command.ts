import type { OptionSpecs } from './option.ts';

/** One command of the program. */
export interface Command {
  /** The words after `mqproxy`, such as `produce TOPIC`. */
  readonly usage: string;
  /** One sentence. */
  readonly summary: string;
  /** More paragraphs for `--help`, already broken into lines. */
  readonly details?: string;
  readonly options: OptionSpecs;
  /** The command of a first word that has options of its own, such as `bench consume`. */
  part?(word: string | undefined): Command | undefined;
  /** Resolves to the exit code. @throws CodedError */
  run(argv: readonly string[]): Promise<number>;
}

/** The text of `mqproxy COMMAND --help`. */
export function helpOf(command: Command): string {
  const parts = [`Usage: mqproxy ${command.usage}`, command.summary];
  if (command.details !== undefined) parts.push(command.details);
  const rows = Object.entries(command.options).map(([name, spec]) => {
    const value = spec.kind === 'boolean' ? '' : ` ${spec.value ?? valueName(spec.choices)}`;
    const fallback = spec.fallback === undefined ? '' : ` (default ${spec.fallback})`;
    const of = spec.of === undefined ? '' : `${spec.of.join(', ')}: `;
    return [`--${name}${value}`, `${of}${spec.description}${fallback}`] as const;
  });
  rows.push(['--help', 'Print this.']);
  parts.push(`Options:\n${columns(rows)}`);
  return `${parts.join('\n\n')}\n`;
}

/** Two columns, the second where the longest of the first ends; long firsts get their own line. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)));
  const lines = rows.map(([left, right]) => {
    if (left.length > width) return `  ${left}\n  ${' '.repeat(width)}  ${right}`;
    return `  ${left.padEnd(width)}  ${right}`;
  });
  return lines.join('\n');
}

function valueName(choices: readonly string[] | undefined): string {
  return choices?.join('|') ?? 'VALUE';
}
