import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coded } from '../src/base/errors.ts';
import { packageRoot } from '../src/base/package-root.ts';
import type { ReceiveReport } from '../src/cli/load/generator.ts';
import { runProgram } from '../src/cli/load/run-program.ts';
import { kafkaLibs } from '../test/support/kafka.ts';
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
  const { messagesPerSecond, idle, again, failed } = report as unknown as ReceiveReport;
  if (idle > 0) throw coded('BENCH_FAILED', `${idle} consumers were given nothing`);
  // Neither belongs to a run without a fault: a rate with them is not the one that was asked for.
  if (again > 0) throw coded('BENCH_FAILED', `${again} messages came twice`);
  if (failed > 0) throw coded('BENCH_FAILED', `${failed} acks were refused`);
  return { ...report, requestsPerSecond: messagesPerSecond };
}

/** Runs a generator of bench/clients in a process of its own. @throws CodedError BENCH_FAILED */
export function runClient(name: string, flags: Flags): Promise<LoadReport> {
  const file = fileURLToPath(new URL(`./clients/${name}.js`, import.meta.url));
  return run(process.execPath, [file, ...wordsOf(flags)], name);
}

/** Runs a Java program of bench/clients beside Kafka's jars. @throws CodedError BENCH_FAILED */
export function runJava(name: string, flags: Flags): Promise<LoadReport> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (!folders.some((folder) => existsSync(join(folder, 'javac')))) {
    const hint = 'apt-get install openjdk-17-jdk-headless';
    throw coded('BENCH_FAILED', `${name} needs a JDK, not only its runtime`, { hint });
  }
  const file = join(packageRoot(), 'bench', 'clients', `${name}.java`);
  const java = ['-Xmx1g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'];
  const words = [...java, '-cp', join(kafkaLibs, '*'), file, ...wordsOf(flags)];
  return run('java', words, name);
}

/** Runs a command of `mqproxy` that prints one JSON object. @throws CodedError BENCH_FAILED */
export async function runCommand<T>(words: readonly string[], flags: Flags): Promise<T> {
  const program = join(packageRoot(), 'bin', 'mqproxy.js');
  const args = [program, ...words, ...wordsOf(flags)];
  const { line, said, code } = await runProgram(process.execPath, args);
  // What it measured is there also where it calls it a failure.
  if (line.startsWith('{')) return JSON.parse(line) as T;
  throw coded('BENCH_FAILED', `mqproxy ${words.join(' ')} ended with ${code}: ${said}`);
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
