/** What was counted of one topic. */
export interface TopicCount {
  readonly name: string;
  /** Rises as long as the node runs. */
  readonly count: number;
}

const REST = 'other';

/**
 * Which topics have a label of their own: the busiest when there is a label left, and for good.
 * A topic that left the rest later would let the rest's counter fall, which readers take for a
 * restart of the node.
 */
export class TopicLabels {
  readonly #labelsMax: number;
  readonly #shown = new Set<string>();

  constructor(labelsMax: number) {
    this.#labelsMax = labelsMax;
  }

  /** Counts by label; topics of which nothing was counted yet have none. */
  add(topics: readonly TopicCount[]): ReadonlyMap<string, number> {
    const counted = topics.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count);
    const labels = new Map<string, number>();
    for (const { name, count } of counted) {
      if (this.#shown.size < this.#labelsMax) this.#shown.add(name);
      const label = this.#shown.has(name) ? name : REST;
      labels.set(label, (labels.get(label) ?? 0) + count);
    }
    return labels;
  }
}
