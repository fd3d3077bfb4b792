import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gone } from './process-use.ts';

/** Above it a process waited longer for a core than it ran. */
const LACK_MAX = 0.5;

/**
 * Whether this process had a core when it wanted one, since this was made. Times that it measured
 * meanwhile say something of a node only then: on a machine that is slow or does other things they
 * are its own.
 */
export class Cores {
  readonly #began = coreTimes();

  /** The share of the time in which its threads wanted a core that they waited for one: 0 to 1. */
  get lack(): number {
    const { ranNs, waitedNs } = coreTimes();
    const [ran, waited] = [ranNs - this.#began.ranNs, waitedNs - this.#began.waitedNs];
    return waited <= 0 ? 0 : waited / (ran + waited);
  }

  /** Prints what was measured, and whether it is held against what is promised. */
  wereThere(measured: string): boolean {
    const { lack } = this;
    const areThere = lack <= LACK_MAX;
    const judged = areThere ? '' : ', not judged';
    console.log(`${measured} lackOfCores=${lack.toFixed(2)}${judged}`);
    return areThere;
  }
}

/** How long the threads of this process ran, and waited for a core, since they began. */
function coreTimes(): { ranNs: number; waitedNs: number } {
  const sum = { ranNs: 0, waitedNs: 0 };
  // Other systems do not tell: there every time is judged.
  if (!existsSync('/proc/self/schedstat')) return sum;
  for (const thread of readdirSync('/proc/self/task')) {
    // A thread may end meanwhile.
    const stat = gone(() => readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8'));
    const [ran = 0, waited = 0] = stat.split(' ').map(Number);
    sum.ranNs += ran;
    sum.waitedNs += waited;
  }
  return sum;
}
