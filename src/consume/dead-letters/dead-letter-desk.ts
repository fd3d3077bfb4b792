import type {
  DeadFilter,
  DeadLetterPage,
  DeadLettersOf,
  DeadPurged,
  ListDead,
  PurgeDead,
  RedriveDead,
  RedriveProgress,
} from '../../../protocol/src/dead-letters.ts';
import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import { deadTopicOf } from '../retry/dead-record.ts';
import { matches } from './letter-filter.ts';
import { LetterListing } from './letter-listing.ts';
import { LetterMarks, type MarksCluster } from './letter-marks.ts';
import { LetterWalk } from './letter-walk.ts';
import { RedriveJob, type RedriveSide } from './redrive-job.ts';

/** One cluster as the desk needs it. */
export interface DeskCluster extends MarksCluster {
  /**
   * Frees what lies before an offset, as far as the cluster frees anything; what is not freed stays
   * marked.
   */
  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void>;
}

export interface DeadLetterDeskOptions {
  /** In the order in which their letters are listed. */
  readonly clusters: readonly DeskCluster[];
  readonly nodeId: bigint;
  /** What a page of letters must fit into. */
  readonly frameBytesMax: number;
  readonly clock: Clock;
  readonly log: Logger;
}

interface DeskSide extends RedriveSide {
  readonly cluster: DeskCluster;
}

interface Job {
  readonly of: DeadLettersOf;
  readonly job: RedriveJob;
  readonly ended: Promise<void>;
}

const LIMIT_DEFAULT = 100;

/**
 * What an operator does with dead letters: list, put back, purge. Requests are *owned* by the desk,
 * the bytes of a filter included.
 */
export class DeadLetterDesk {
  readonly #options: DeadLetterDeskOptions;
  /** By the cursor that goes on with them, oldest first. */
  readonly #listings = new Map<string, LetterListing>();
  readonly #jobs = new Map<string, Job>();
  /** Topics of dead letters on which something that marks is about to begin, or under way. */
  readonly #busy = new Set<string>();
  #serial = 0;

  constructor(options: DeadLetterDeskOptions) {
    this.#options = options;
  }

  /** A page of the letters that are not dealt with. @throws BACKEND_UNAVAILABLE */
  async list(request: ListDead): Promise<DeadLetterPage> {
    const { topic, group, filter = {}, limit = LIMIT_DEFAULT, cursor, values = false } = request;
    const of = `${topic}/${group}`;
    const known = this.#listings.get(`${of}/${cursor}`);
    // Kept no longer: asked again with this cursor, the page is read anew.
    this.#listings.delete(`${of}/${cursor}`);
    const listing = known ?? (await this.#listing(request, filter, cursor));
    const { messages, isDone } = await listing.page(limit, values);
    if (isDone) return { messages };
    this.#serial += 1;
    const next = listing.cursor(this.#serial);
    this.#listings.set(`${of}/${next}`, listing);
    const [oldest] = this.#listings.keys();
    if (this.#listings.size > limits.deadListsMax && oldest !== undefined) {
      this.#listings.delete(oldest);
    }
    return { messages, cursor: next };
  }

  /**
   * Begins a job, or says how one is doing that the asker may see.
   * @throws NOT_FOUND, RETRY_LATER, GROUP_CONFLICT
   */
  async redrive(
    request: RedriveDead,
    maySee: (of: DeadLettersOf) => boolean = () => true,
  ): Promise<RedriveProgress> {
    if ('job' in request) {
      const known = this.#jobs.get(request.job);
      if (known === undefined || !maySee(known.of))
        throw coded('NOT_FOUND', `there is no job ${request.job} here`);
      return known.job.progress();
    }
    const { filter = {}, ratePerSecond, limit, dryRun } = request;
    if (dryRun === true) return this.#count(request, filter, limit);
    const dlq = this.#claim(request);
    try {
      const { nodeId, clock } = this.#options;
      const sides = await this.#sides(request);
      this.#serial += 1;
      const id = `r-${this.#serial}`;
      const job = new RedriveJob({ job: id, sides, filter, ratePerSecond, limit, nodeId, clock });
      this.#begin(id, request, { dlq, job });
      return job.progress();
    } catch (error) {
      this.#busy.delete(dlq);
      throw error;
    }
  }

  /** Deals with letters for good. @throws BACKEND_UNAVAILABLE, GROUP_CONFLICT */
  async purge(request: PurgeDead): Promise<DeadPurged> {
    const { filter = {}, dryRun } = request;
    if (dryRun === true) {
      const { matched } = await this.#count(request, filter, undefined);
      return { matched, purged: 0 };
    }
    const dlq = this.#claim(request);
    try {
      let purged = 0;
      for (const side of await this.#sides(request)) purged += await purgeSide(side, dlq, filter);
      const { topic, group } = request;
      this.#options.log.info({ topic, group, purged }, 'dead letters were purged');
      return { matched: purged, purged };
    } finally {
      this.#busy.delete(dlq);
    }
  }

  /** Ends the jobs after the batches under way. */
  async close(): Promise<void> {
    const all = [...this.#jobs.values()];
    for (const { job } of all) job.stop();
    await Promise.all(all.map(({ ended }) => ended));
  }

  /** Marks are written by one at a time, or one would write over the other's. */
  #claim({ topic, group }: DeadLettersOf): string {
    const dlq = deadTopicOf(topic, group);
    if (this.#busy.has(dlq)) {
      throw coded('GROUP_CONFLICT', `a redrive or purge of ${dlq} is under way`);
    }
    if (this.#busy.size >= limits.redrivesMax) {
      const words = `${limits.redrivesMax} redrives are under way on this node`;
      throw coded('RETRY_LATER', words, { retryAfterMs: 5_000 });
    }
    this.#busy.add(dlq);
    return dlq;
  }

  #begin(id: string, of: DeadLettersOf, { dlq, job }: { dlq: string; job: RedriveJob }): void {
    const { log } = this.#options;
    const facts = { job: id, topic: of.topic, group: of.group };
    log.info(facts, 'a redrive of dead letters began');
    const ended = job.run().then(() => {
      this.#busy.delete(dlq);
      const { state, moved, error } = job.progress();
      log.info({ ...facts, state, moved, error }, 'a redrive of dead letters ended');
    });
    this.#jobs.set(id, { of: { topic: of.topic, group: of.group }, job, ended });
    for (const [old, { job: other }] of this.#jobs) {
      if (this.#jobs.size <= limits.redrivesKept) break;
      if (!other.isRunning) this.#jobs.delete(old);
    }
  }

  async #listing(
    of: DeadLettersOf,
    filter: DeadFilter,
    cursor: string | undefined,
  ): Promise<LetterListing> {
    const sides = await this.#sides(of);
    return new LetterListing(
      sides.map(({ walk }) => walk),
      filter,
      cursor,
      this.#options.frameBytesMax,
    );
  }

  async #sides({ topic, group }: DeadLettersOf): Promise<DeskSide[]> {
    const dlq = deadTopicOf(topic, group);
    return Promise.all(
      this.#options.clusters.map(async (cluster) => {
        const marks = await LetterMarks.load(cluster, dlq);
        const { source, publisher } = cluster;
        const walk = new LetterWalk({ source, dlq, topic, group, dealt: marks });
        return { cluster, marks, publisher, walk };
      }),
    );
  }

  async #count(
    of: DeadLettersOf,
    filter: DeadFilter,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<RedriveProgress> {
    let scanned = 0;
    let matched = 0;
    for (const { walk } of await this.#sides(of)) {
      for (let page = await walk.next(); page !== undefined; page = await walk.next()) {
        scanned += page.scanned;
        matched += page.letters.filter((one) => matches(filter, one)).length;
        if (matched >= limit) return { state: 'done', scanned, matched: limit, moved: 0 };
      }
    }
    return { state: 'done', scanned, matched, moved: 0 };
  }
}

/** Marks what a filter means, then frees what lies before the first letter that is left. */
async function purgeSide(side: DeskSide, dlq: string, filter: DeadFilter): Promise<number> {
  const { marks, walk, cluster } = side;
  let purged = 0;
  const edges = new Map<number, { before: number; isOpen: boolean }>();
  await marks.ensure();
  for (let page = await walk.next(); page !== undefined; page = await walk.next()) {
    const { partition, nextOffset } = page;
    for (const offset of page.copies) marks.add(partition, offset);
    const left: number[] = page.foreign === undefined ? [] : [page.foreign];
    for (const letter of page.letters) {
      if (!matches(filter, letter)) left.push(letter.offset);
      else {
        marks.add(partition, letter.offset);
        walk.deal(letter);
        purged += 1;
      }
    }
    const edge = edges.get(partition);
    if (edge?.isOpen === false) continue;
    edges.set(partition, { before: Math.min(nextOffset, ...left), isOpen: left.length === 0 });
  }
  await marks.save();
  for (const [partition, { before }] of edges) {
    await cluster.deleteRecords(dlq, partition, before);
  }
  return purged;
}
