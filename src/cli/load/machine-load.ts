import { execFileSync, type StdioOptions } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc; the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Seconds of CPU that a process has used, with its threads; undefined where that is not known. */
export function cpuSecondsOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold spaces: the fields are counted from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return undefined;
  }
}

/** Ticks of all cores since boot, in all and those another machine took. */
export interface CpuTicks {
  readonly total: number;
  readonly steal: number;
}

/** What /proc/stat says now. */
export function cpuTicks(): CpuTicks {
  try {
    const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '';
    const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
    return { total: ticks.reduce((sum, tick) => sum + tick, 0), steal: ticks[7] ?? 0 };
  } catch {
    return { total: 0, steal: 0 };
  }
}

/** The share of CPU time that another machine took in between, in percent. */
export function stealPercent(before: CpuTicks, after: CpuTicks): number {
  const total = after.total - before.total;
  return total === 0 ? 0 : Math.round((1000 * (after.steal - before.steal)) / total) / 10;
}

/** The commit of the sources the program was built from, or null outside a clone. */
export function commitOf(folder: string): string | null {
  try {
    const words = ['rev-parse', '--short=12', 'HEAD'];
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
    return execFileSync('git', words, { cwd: folder, encoding: 'utf8', stdio }).trim();
  } catch {
    return null;
  }
}
