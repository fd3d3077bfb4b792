import { type Clock, sleep } from '../base/clock.ts';
import { type DelayIndex, IndexChanges } from './delay-index.ts';

/** A record that comes so long after it was accepted may be a copy of one that stands, in ms. */
const COPY_AFTER_MS = 1_000;
/** How long after a doubt the partition is counted; what comes meanwhile is counted with it. */
const COUNT_AFTER_MS = 10_000;
/** Lines that are counted in one turn of the event loop, and how long others have it then. */
const LINES_PER_TURN = 2_000;
const TURN_MS = 1;

/** Parts of a {@link PendingCount}. */
export interface PendingCountParts {
  readonly index: DelayIndex;
  readonly clock: Clock;
  /** Runs a task while no other changes the index. */
  work(task: () => Promise<void>): Promise<void>;
}

interface Count {
  pending: number;
  /** It will be counted, or is being counted. */
  isDoubted: boolean;
}

/**
 * How many messages wait in each partition. Records are applied without a look at what stands: it
 * would be a read each. So a copy counts twice, as a node sends it after a crash of what it may
 * have sent before; where one may have come, the index is counted in the background.
 */
export class PendingCount {
  readonly #parts: PendingCountParts;
  readonly #counts = new Map<number, Count>();
  #counting: Promise<void> = Promise.resolve();

  constructor(parts: PendingCountParts) {
    this.#parts = parts;
  }

  /** Of all partitions that were begun. */
  get total(): number {
    let sum = 0;
    for (const { pending } of this.#counts.values()) sum += pending;
    return sum;
  }

  get(partition: number): number {
    return this.#counts.get(partition)?.pending ?? 0;
  }

  begin(partition: number, pending: number): void {
    this.#counts.set(partition, { pending, isDoubted: false });
  }

  /** The partition is another node's. */
  end(partition: number): void {
    this.#counts.delete(partition);
  }

  /** A batch of the log changed so many. */
  add(partition: number, change: number): void {
    const count = this.#counts.get(partition);
    if (count !== undefined) count.pending = Math.max(0, count.pending + change);
  }

  /** A message was applied unseen that was accepted at this time. */
  applied(partition: number, acceptedMs: number): void {
    const count = this.#counts.get(partition);
    const { clock } = this.#parts;
    if (count === undefined || count.isDoubted) return;
    if (clock.now() - acceptedMs < COPY_AFTER_MS) return;
    count.isDoubted = true;
    clock.setTimer(() => {
      this.#counting = this.#counting.then(() => this.#recount(partition, count));
    }, COUNT_AFTER_MS);
  }

  /** Never rejects: an index that fails tells its owner, and is opened and applied again. */
  async #recount(partition: number, count: Count): Promise<void> {
    const { index, clock, work } = this.#parts;
    const isOurs = (): boolean => this.#counts.get(partition) === count;
    const lines = index.idsOf(partition);
    let before = 0;
    let found = 0;
    try {
      let line: IteratorResult<Buffer> | undefined;
      // The first line fixes what is seen: that of this moment.
      await work(async () => {
        before = count.pending;
        count.isDoubted = false;
        if (isOurs()) line = await lines.next();
      });
      for (; line !== undefined && line.done !== true && isOurs(); line = await lines.next()) {
        if (++found % LINES_PER_TURN === 0) await sleep(clock, TURN_MS);
      }
      if (line?.done === true && found !== before) {
        await work(async () => {
          if (!isOurs()) return;
          count.pending += found - before;
          const progress = await index.progress(partition);
          const changes = new IndexChanges();
          changes.progress(partition, { ...progress, pending: count.pending });
          await index.write(changes);
        });
      }
    } catch {
      count.isDoubted = false;
    } finally {
      await lines.return(undefined).catch(() => undefined);
    }
  }
}
