import type { ProducerSession } from '../intake/producer-session.ts';

/** Consecutive messages of a producer that are consecutive in the lane too. */
export interface Stretch {
  /** The producer's own sequence of the first. */
  readonly first: number;
  readonly count: number;
  /** The lane's sequence of the first. */
  readonly lane: number;
}

/** Where in the lane the messages of producers lie. Stretches of a producer never overlap. */
export class SegmentIndex {
  /** Of each producer in the order of its sequences. */
  private readonly producers = new Map<ProducerSession, Stretch[]>();
  private stretches = 0;
  /** Everything that is stored before this sequence of the lane is in here. */
  end = 0;

  /** Stretches that are held. */
  get size(): number {
    return this.stretches;
  }

  add(producer: ProducerSession, stretch: Stretch): void {
    let all = this.producers.get(producer);
    if (all === undefined) {
      all = [];
      this.producers.set(producer, all);
    }
    this.stretches++;
    const last = all.at(-1);
    if (last === undefined || last.first < stretch.first) all.push(stretch);
    else all.splice(placeOf(all, stretch.first), 0, stretch);
  }

  /** The first stretch of the producer's sequences from `from` to before `end` that is known. */
  find(producer: ProducerSession, from: number, end: number): Stretch | undefined {
    const all = this.producers.get(producer);
    const found = all?.[placeOf(all, from)];
    if (found === undefined || found.first >= end) return undefined;
    const first = Math.max(from, found.first);
    const count = Math.min(end, found.first + found.count) - first;
    return { first, count, lane: found.lane + (first - found.first) };
  }

  clear(): void {
    this.producers.clear();
    this.stretches = 0;
    this.end = 0;
  }
}

/** The place of the first stretch that ends behind the sequence. */
function placeOf(all: readonly Stretch[], sequence: number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { first, count } = all[middle] as Stretch;
    if (first + count <= sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
