import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coded } from '../src/base/errors.ts';
import { packageRoot } from '../src/base/package-root.ts';
import type { ReceiveReport } from '../src/cli/load/generator.ts';
import { runProgram } from '../src/cli/load/run-program.ts';
import type { LoadReport } from './result.ts';

/** A flag and its value, for a generator. */
export type Flags = Readonly<Record<string, string | number>>;

/** Runs `mq_load` or `mq_direct` to its end. @throws CodedError BENCH_FAILED */
export function runNative(name: 'mq_load' | 'mq_direct', flags: Flags): Promise<LoadReport> {
  const program = join(packageRoot(), 'build', 'Release', name);
  if (!existsSync(program)) {
    throw coded('BENCH_FAILED', `${name} is not built`, { hint: 'run npm run build' });
  }
  return run(program, wordsOf(flags), name);
}

/** Runs `mq_load` as a receiver to its end. @throws CodedError BENCH_FAILED */
export async function runReceiver(flags: Flags): Promise<LoadReport> {
  const program = join(packageRoot(), 'build', 'Release', 'mq_load');
  const report = await run(program, ['receive', ...wordsOf(flags)], 'mq_load receive');
  const { messagesPerSecond, idle } = report as unknown as ReceiveReport;
  if (idle > 0) throw coded('BENCH_FAILED', `${idle} consumers were given nothing`);
  return { ...report, requestsPerSecond: messagesPerSecond };
}

/** Runs a generator of bench/clients in a process of its own. @throws CodedError BENCH_FAILED */
export function runClient(name: string, flags: Flags): Promise<LoadReport> {
  const file = fileURLToPath(new URL(`./clients/${name}.js`, import.meta.url));
  return run(process.execPath, [file, ...wordsOf(flags)], name);
}

function wordsOf(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

async function run(program: string, words: readonly string[], name: string): Promise<LoadReport> {
  const { code, line, said } = await runProgram(program, words);
  if (code !== 0 || !line.startsWith('{')) {
    throw coded('BENCH_FAILED', `${name} ended with ${code}: ${said} ${line}`);
  }
  return JSON.parse(line) as LoadReport;
}
