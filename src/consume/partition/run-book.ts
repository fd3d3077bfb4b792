import { TOKEN_BYTES } from '../lease/token.ts';
import type { ConsumePartition } from './partition.ts';

/** Runs whose tokens are remembered: 3 MiB. */
const RUNS = 65_536;
const MASK = RUNS - 1;
const WORDS = TOKEN_BYTES / 4;
/** Position of the low word of a token's run, in bytes. */
const RUN_AT = 32;

/**
 * The tokens of the latest runs, each with its partition. An ack whose token is found here, byte
 * for byte, needs no HMAC.
 */
export class RunBook {
  readonly #tokens = new Int32Array(RUNS * WORDS);
  readonly #partitions = new Array<ConsumePartition | undefined>(RUNS).fill(undefined);

  /** When the run that was {@link find found} was delivered, in ms of the engine's clock. */
  atMs = 0;
  readonly #times = new Float64Array(RUNS);

  note(token: Buffer, at: number, partition: ConsumePartition, nowMs: number): void {
    const slot = token.readUInt32BE(at + RUN_AT) & MASK;
    const to = slot * WORDS;
    for (let i = 0; i < WORDS; i++) this.#tokens[to + i] = token.readInt32BE(at + i * 4);
    this.#partitions[slot] = partition;
    this.#times[slot] = nowMs;
  }

  /** The partition of a token that was noted; undefined when it is not known here, or closed. */
  find(bytes: Buffer, at: number): ConsumePartition | undefined {
    const slot = bytes.readUInt32BE(at + RUN_AT) & MASK;
    const from = slot * WORDS;
    for (let i = 0; i < WORDS; i++) {
      if (this.#tokens[from + i] !== bytes.readInt32BE(at + i * 4)) return undefined;
    }
    this.atMs = this.#times[slot] as number;
    const partition = this.#partitions[slot];
    return partition?.isClosed === true ? undefined : partition;
  }

  /** When a run was delivered, by its number modulo 2^32; undefined when that is not known. */
  timeOf(run: number): number | undefined {
    const slot = run & MASK;
    const isKnown = this.#tokens[slot * WORDS + RUN_AT / 4] === (run | 0);
    return isKnown ? this.#times[slot] : undefined;
  }

  /** Lets go of partitions that were closed: once for all of them, since each run is looked at. */
  tidy(): void {
    for (let i = 0; i < RUNS; i++) {
      if (this.#partitions[i]?.isClosed === true) this.#partitions[i] = undefined;
    }
  }
}
