import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import { RunSet } from './run-set.ts';
import type { MessageRun } from './verdict-rows.ts';

/** Messages that were refused once, where a refusal counts only when it comes again. */
export class Strikes {
  private readonly struck = new RunSet();

  /**
   * Whether the refusal is final for all of the run; if not, the run is remembered. Sequences
   * below `floor` are settled and forgotten.
   */
  isFinal({ first, count }: MessageRun, verdict: Verdict, floor: number): boolean {
    if (verdict.twice !== true) return true;
    const { struck } = this;
    struck.dropBelow(floor);
    let isAgain = true;
    for (let sequence = first; sequence < first + count && isAgain; sequence++) {
      isAgain = struck.has(sequence);
    }
    if (!isAgain) struck.add(first, count);
    return isAgain;
  }
}
