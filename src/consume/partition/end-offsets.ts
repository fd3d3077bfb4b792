import type { ConsumerBackend } from '../../backend/consumer-port.ts';
import type { Clock } from '../../base/clock.ts';
import type { ConsumePartition } from './partition.ts';

/** A partition is asked for again after so long, in ms. */
const AGAIN_MS = 5_000;
/** The same, of one that did not answer: whoever reads needs the cluster more. */
const AGAIN_AFTER_FAILURE_MS = 60_000;
/** Partitions that one round asks for: what is left is asked for by the next ones. */
const PER_ROUND = 64;

/**
 * Ends of partitions that no fetch tells of: those without credit, because their group is paused,
 * nobody has room, or their window is full, and those of which nothing was heard. Where credit is
 * out, the next record brings the end with it, and nobody is asked.
 */
export class EndOffsets {
  readonly #clock: Clock;
  readonly #backends: readonly ConsumerBackend[];
  #isAsking = false;

  constructor(clock: Clock, backends: readonly ConsumerBackend[]) {
    this.#clock = clock;
    this.#backends = backends;
  }

  /** One round; does nothing while another one is under way. Never rejects. */
  async ask(partitions: Iterable<ConsumePartition>): Promise<void> {
    if (this.#isAsking) return;
    const now = this.#clock.monotonic();
    const due = [...partitions].filter((p) => isSilent(p) && now - p.endAskedMs >= AGAIN_MS);
    if (due.length === 0) return;
    due.sort((a, b) => a.endAskedMs - b.endAskedMs);
    this.#isAsking = true;
    const topics = new Map<string, ConsumePartition[]>();
    for (const partition of due.slice(0, PER_ROUND)) {
      partition.endAskedMs = now;
      const key = `${partition.cluster}/${partition.topic}`;
      const some = topics.get(key);
      if (some === undefined) topics.set(key, [partition]);
      else some.push(partition);
    }
    for (const some of topics.values()) await this.#askFor(some, now);
    this.#isAsking = false;
  }

  async #askFor(partitions: readonly ConsumePartition[], sinceMs: number): Promise<void> {
    const cluster = partitions[0]?.cluster;
    const backend = this.#backends.find((one) => one.cluster === cluster);
    try {
      const ends = (await backend?.positions(partitions, 'end')) ?? [];
      for (const [i, partition] of partitions.entries()) {
        // A fetch that came meanwhile knows better.
        const end = ends[i];
        if (end === undefined || partition.endHeardMs >= sinceMs) continue;
        partition.endOffset = end;
        partition.endHeardMs = sinceMs;
      }
    } catch {
      // A cluster that is away, or a topic that is gone: the end stays as it was last heard.
      const later = AGAIN_AFTER_FAILURE_MS - AGAIN_MS;
      for (const partition of partitions) partition.endAskedMs = sinceMs + later;
    }
  }
}

function isSilent(partition: ConsumePartition): boolean {
  return partition.wanted === 0 || partition.endHeardMs < 0;
}
