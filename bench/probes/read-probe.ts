import { existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { coded } from '../../src/base/errors.ts';
import type { BenchNode, NodeOptions } from '../node.ts';

const answerMs = 10_000;
const pollMs = 20;

/** Options of a node into which a probe of this folder is loaded; it writes to `file`. */
export function probed(probe: 'memory' | 'allocations', file: string): NodeOptions {
  const url = new URL(`./${probe}.js`, import.meta.url);
  return {
    nodeArgs: ['--expose-gc', '--import', fileURLToPath(url)],
    env: { MQPROXY_BENCH_PROBE: file },
  };
}

/** Asks the probe and gives what it wrote. @throws CodedError BENCH_FAILED */
export async function readProbe(node: BenchNode, file: string): Promise<unknown> {
  rmSync(file, { force: true });
  node.signal('SIGUSR2');
  for (let waited = 0; !existsSync(file); waited += pollMs) {
    if (waited > answerMs) throw coded('BENCH_FAILED', 'the probe in the node does not answer');
    await pause(pollMs);
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}
