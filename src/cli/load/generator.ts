import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { coded } from '../../base/errors.ts';
import { packageRoot } from '../../base/package-root.ts';
import type { ServerOptions } from '../node-client.ts';
import { runProgram } from './run-program.ts';

/** What the generator prints. */
export interface LoadReport {
  readonly requestsPerSecond: number;
  readonly acked: number;
  readonly sent: number;
  readonly failed: number;
  readonly failedByCode: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<'p50' | 'p90' | 'p99' | 'p999' | 'max', number>>;
  readonly cpuSeconds: number;
}

/** What the generator prints as a receiver. */
export interface ReceiveReport {
  readonly messagesPerSecond: number;
  readonly received: number;
  /** Offsets that came before. */
  readonly again: number;
  /** Deliveries with an attempt above 1. */
  readonly redelivered: number;
  readonly withoutId: number;
  readonly acked: number;
  readonly failed: number;
  readonly failedByCode: Readonly<Record<string, number>>;
  /** Connections that were given nothing. */
  readonly idle: number;
  readonly seconds: number;
  /** From the intended time of sending; all 0 when it was not asked for. */
  readonly latencyMs: LoadReport['latencyMs'];
  readonly cpuSeconds: number;
}

/** Runs the native load generator to its end. @throws as {@link runReceive} */
export async function runLoad(args: readonly string[], token?: string): Promise<LoadReport> {
  return (await runGenerator(args, token)) as LoadReport;
}

/**
 * Runs it as a receiver.
 * @throws CodedError `BENCH_FAILED` when it is not built, or answers or messages are missing
 */
export async function runReceive(args: readonly string[], token?: string): Promise<ReceiveReport> {
  return (await runGenerator(['receive', ...args], token)) as ReceiveReport;
}

/** Refuses options that the generator has no use for. @throws CodedError `USAGE` */
export function refuseTls({ tls, 'tls-ca': file }: ServerOptions): void {
  if (!tls && file === undefined) return;
  throw coded('USAGE', 'the load generator speaks no TLS: measure a node without it');
}

async function runGenerator(args: readonly string[], token: string | undefined): Promise<unknown> {
  const program = join(packageRoot(), 'build', 'Release', 'mq_load');
  // Not an argument: those are there for all users of the machine to see.
  const env: Record<string, string> = token === undefined ? {} : { MQPROXY_TOKEN: token };
  if (!existsSync(program)) {
    throw coded('BENCH_FAILED', 'the load generator is not built', { hint: 'run npm run build' });
  }
  const { code, line, said } = await runProgram(program, args, env);
  if (code !== 0 || !line.startsWith('{')) {
    throw coded('BENCH_FAILED', said || `the load generator ended with ${code}`);
  }
  return JSON.parse(line) as unknown;
}
