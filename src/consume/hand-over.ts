import { type Clock, sleep } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { Committer } from './partition/committer.ts';
import type { ConsumePartition } from './partition/partition.ts';

/**
 * From the beginning of a hand-over until what is out is given away with the partition, in ms.
 * Below the session timeout of 6 s: a member that leaves sends no heartbeats any more, and its last
 * commit, which names the open leases, would be that of a stranger.
 */
const DRAIN_MS = 4_000;
/** The same until a last commit that failed is not tried again, and between two tries, in ms. */
const COMMIT_MS = 5_000;
const RETRY_MS = 100;
/** Last commits, as long as acks come while one is under way. */
const COMMITS_MAX = 4;

/** What {@link handOver} needs. */
export interface HandOverParts {
  readonly clock: Clock;
  readonly committer: Pick<Committer, 'flush'>;
  /** Partitions that go: nothing more of them is leased. */
  readonly leaving: readonly ConsumePartition[];
  /** Messages of a partition that are on their way to another topic. */
  movingOf(partition: ConsumePartition): number;
  /** A last commit failed. */
  onError(error: unknown): void;
}

/** Waits for what is out of partitions that go, then commits floor, map and open leases. */
export async function handOver(parts: HandOverParts): Promise<void> {
  const { clock, leaving, movingOf } = parts;
  const beganMs = clock.monotonic();
  // What is moved and not acked for it would be there twice.
  const isBusy = (p: ConsumePartition): boolean =>
    !p.isClosed && (p.window.leased > 0 || movingOf(p) > 0);
  while (leaving.some(isBusy) && clock.monotonic() < beganMs + DRAIN_MS) await sleep(clock, 20);
  await commitLast(parts, beganMs + COMMIT_MS);
}

/** Acks are taken until the end: what came while a commit was on its way is in the next. */
async function commitLast(parts: HandOverParts, untilMs: number): Promise<void> {
  const { clock, committer, leaving, onError } = parts;
  for (let commits = 0; commits < COMMITS_MAX && leaving.some((p) => !p.isClosed); ) {
    try {
      await committer.flush(leaving);
      commits++;
      if (!leaving.some((p) => p.isDirty)) return;
    } catch (error) {
      onError(error);
      // A stranger's commit is refused however often it is tried.
      if (codeOf(error) === 'FENCED' || clock.monotonic() >= untilMs) return;
      await sleep(clock, RETRY_MS);
    }
  }
}
