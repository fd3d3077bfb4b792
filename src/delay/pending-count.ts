import { type Clock, sleep } from '../base/clock.ts';
import { type DelayIndex, IndexChanges } from './delay-index.ts';

/**
 * A message that was sent so long after it was accepted may have been sent before, in ms. What the
 * log waited to be applied does not count: all of a backlog would be in doubt.
 */
const COPY_AFTER_MS = 1_000;
/** So long after the last doubt a partition is counted, in ms: once for a backlog that drains. */
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
  /** When it was last in doubt, monotonic; undefined: it is right, or being counted. */
  doubtedMs: number | undefined;
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
    this.#counts.set(partition, { pending, doubtedMs: undefined });
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

  /** A message was applied unseen that came into the log so long after it was accepted, in ms. */
  applied(partition: number, tookMs: number): void {
    if (tookMs >= COPY_AFTER_MS) this.doubt(partition);
  }

  /** A message of a partition was counted twice, in or out: it is counted anew, after a while. */
  doubt(partition: number): void {
    const count = this.#counts.get(partition);
    if (count === undefined) return;
    const isNew = count.doubtedMs === undefined;
    count.doubtedMs = this.#parts.clock.monotonic();
    if (isNew) this.#recountLater(partition, count, COUNT_AFTER_MS);
  }

  #recountLater(partition: number, count: Count, inMs: number): void {
    const { clock } = this.#parts;
    clock.setTimer(() => {
      if (count.doubtedMs === undefined) return;
      const restMs = count.doubtedMs + COUNT_AFTER_MS - clock.monotonic();
      if (restMs > 0) this.#recountLater(partition, count, restMs);
      else this.#counting = this.#counting.then(() => this.#recount(partition, count));
    }, inMs);
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
        count.doubtedMs = undefined;
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
      count.doubtedMs = undefined;
    } finally {
      await lines.return(undefined).catch(() => undefined);
    }
  }
}
