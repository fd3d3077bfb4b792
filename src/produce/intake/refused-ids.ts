import { ErrorCode } from '../../../protocol/src/generated.ts';

/** Refused messages that are remembered; the oldest are forgotten first. */
export const REFUSED_IDS_MAX = 100_000;

/** A stretch of sequences that were refused alike, or (code 0) were not refused. */
export interface RefusedStretch {
  readonly first: number;
  readonly count: number;
  /** Of the protocol. */
  readonly code: number;
}

/** The protocol's number of a code by name; `UNDELIVERABLE` for one that it does not have. */
export function refusalCode(name: string): number {
  const codes: Readonly<Record<string, number>> = ErrorCode;
  return codes[name] ?? ErrorCode.UNDELIVERABLE;
}

/**
 * Messages that were stored and then refused by the backend for good: whoever sends one again
 * hears the same. Rebuilt from the undeliverable log at open.
 */
export class RefusedIds {
  private readonly max: number;
  /** By producer and epoch: code by sequence. Maps keep the order in which they were filled. */
  private readonly producers = new Map<string, Map<number, number>>();
  private size = 0;

  constructor(max = REFUSED_IDS_MAX) {
    this.max = max;
  }

  add(producerId: bigint, epoch: number, sequence: number, code: number): void {
    const key = `${producerId}/${epoch}`;
    let sequences = this.producers.get(key);
    if (sequences === undefined) {
      sequences = new Map();
      this.producers.set(key, sequences);
    }
    if (!sequences.has(sequence)) this.size++;
    sequences.set(sequence, code);
    if (this.size > this.max) this.forgetOne();
  }

  /** Splits `count` sequences from `first` into stretches; undefined when none was refused. */
  split(
    producerId: bigint,
    epoch: number,
    first: number,
    count: number,
  ): readonly RefusedStretch[] | undefined {
    if (this.size === 0) return undefined;
    const sequences = this.producers.get(`${producerId}/${epoch}`);
    if (sequences === undefined) return undefined;
    const stretches: RefusedStretch[] = [];
    let begin = first;
    let code = sequences.get(first) ?? 0;
    for (let sequence = first + 1; sequence < first + count; sequence++) {
      const next = sequences.get(sequence) ?? 0;
      if (next === code) continue;
      stretches.push({ first: begin, count: sequence - begin, code });
      begin = sequence;
      code = next;
    }
    stretches.push({ first: begin, count: first + count - begin, code });
    return stretches;
  }

  private forgetOne(): void {
    for (const [key, sequences] of this.producers) {
      for (const sequence of sequences.keys()) {
        sequences.delete(sequence);
        this.size--;
        break;
      }
      if (sequences.size === 0) this.producers.delete(key);
      return;
    }
  }
}
