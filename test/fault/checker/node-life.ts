/** `consume.ackCommit`: longest wait of an ack until its commit begins, in ms. */
const COMMIT_MS = 100;
/** How long before its end the commits of a life are looked at, in ms. */
const LOOKED_AT_MS = 1_000;

/** From one start of a node to its end, with one cluster: when its answers may be forgotten. */
export class NodeLife {
  /** Acks that waited for their commit, of late, and those that wait. */
  #commits: { readonly askedMs: number; readonly answeredMs: number }[] = [];
  readonly #waiting: number[] = [];
  /** In between it may forget; those of late may be open. */
  readonly #doubts: { readonly fromMs: number; toMs: number }[] = [];
  #backMs = Number.POSITIVE_INFINITY;

  /** An ack is sent that wants to be committed. */
  asks(ms: number): void {
    this.#waiting.push(ms);
  }

  /** It was refused, or its connection is gone: nobody waits for it any more. */
  givesUp(askedMs: number): void {
    const at = this.#waiting.indexOf(askedMs);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** It was. */
  answers(askedMs: number, answeredMs: number): void {
    this.givesUp(askedMs);
    this.#commits.push({ askedMs, answeredMs });
    if (this.#commits.length > 2_000) this.#commits = this.#commits.slice(-1_000);
    // Its cluster takes commits again.
    if (askedMs < this.#backMs) return;
    for (const doubt of this.#doubts) doubt.toMs = Math.min(doubt.toMs, answeredMs);
  }

  killed(ms: number): void {
    this.#doubts.push({ fromMs: ms - this.#windowMs(ms), toMs: Number.POSITIVE_INFINITY });
    this.#backMs = Number.POSITIVE_INFINITY;
  }

  /** Its cluster is away. */
  away(ms: number): void {
    this.killed(ms);
  }

  back(ms: number): void {
    this.#backMs = ms;
  }

  /** Whether an answer of that time may come to nothing. */
  mayForget(ms: number): boolean {
    return this.#doubts.some(({ fromMs, toMs }) => ms >= fromMs && ms <= toMs);
  }

  /**
   * An ack waits for its commit, which takes what those took that consumers waited for. While some
   * wait, one may be under way since any time after the last of which is known that it was taken.
   */
  #windowMs(endMs: number): number {
    const late = this.#commits.filter(({ answeredMs }) => answeredMs > endMs - LOOKED_AT_MS);
    const took = late.map(({ askedMs, answeredMs }) => answeredMs - askedMs);
    const taken = Math.max(...this.#commits.map(({ askedMs }) => askedMs));
    const hangs = this.#waiting.length > 0 ? endMs - taken : 0;
    return Math.max(COMMIT_MS, ...took.map((ms) => ms + COMMIT_MS), hangs);
  }
}
