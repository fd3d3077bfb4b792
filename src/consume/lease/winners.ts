/** Settled messages of a partition, with more than one lease each, that are remembered. */
const WINNERS_MAX = 16_384;

/**
 * Which lease of a message was acked, for messages of which there was more than one, or which ended
 * without an ack: so that an ack that is sent again is answered as the first time, and that of
 * another lease is not.
 */
export class Winners {
  /** Where none was acked, the last one negated. */
  readonly #runs = new Map<number, number>();
  /** Runs up to this one may have been forgotten. */
  #doubtful = -1;

  /** The message is settled: acked under `run`, its last lease, or otherwise. */
  note(offset: number, run: number, isAcked: boolean): void {
    if (this.#runs.size >= WINNERS_MAX) {
      const [oldest] = this.#runs;
      if (oldest !== undefined) {
        this.#runs.delete(oldest[0]);
        this.#doubtful = Math.max(this.#doubtful, Math.abs(oldest[1]));
      }
    }
    this.#runs.set(offset, isAcked ? run : -run);
  }

  /** Whether the ack of a settled message was given under this run. */
  isWinner(offset: number, run: number): boolean {
    const winner = this.#runs.get(offset);
    return winner === undefined ? run > this.#doubtful : winner === run;
  }
}
