import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What became of a program that was run for its last line. */
export interface ProgramEnd {
  /** Null when it was ended by a signal. */
  readonly code: number | null;
  /** The last line of its standard output. */
  readonly line: string;
  /** What it wrote to its standard error. */
  readonly said: string;
}

/**
 * Runs a program that prints its result as its last line, to its end; it goes when this process
 * goes. Rejects when it cannot be started. `env` is added to this process's variables.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ProgramEnd> {
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  const child = spawn(program, args, { stdio, env: { ...process.env, ...env } });
  const end = (): void => {
    child.kill('SIGTERM');
  };
  process.once('exit', end);
  let printed = '';
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, line: printed.trim().split('\n').at(-1) ?? '', said: said.trim() };
  } finally {
    process.off('exit', end);
  }
}
