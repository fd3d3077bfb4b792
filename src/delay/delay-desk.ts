import { formatDelayId } from '../../protocol/src/delay-id.ts';
import type { Clock } from '../base/clock.ts';
import { coded, codeOf } from '../base/errors.ts';
import {
  checkChangeable,
  checkNewDue,
  type DelayCounts,
  type DelayedMessage,
  type DelayOutcome,
  type DelayPage,
  type DelayQuery,
} from './delay-commands.ts';
import {
  askEach,
  askedOf,
  commandsOf,
  type DelaySite,
  refusalOf,
  type SiteAnswer,
  unreachableOf,
  worstOf,
} from './delay-sites.ts';

/** Commands that one cluster has done and another could not be asked for, at most. */
const HALF_DONE_MAX = 10_000;
/** So long they are remembered, in ms. */
const HALF_DONE_MS = 600_000;
/** So far the wall clock may run from the other between two tries, in ms. */
const CLOCKS_APART_MS = 1_000;
/** In a cursor: this cluster has nothing more. */
const DONE = '-';

/** A page of all clusters. */
export interface DelayPages extends DelayPage {
  /** Clusters that could not be asked: what waits there is missing. */
  readonly unreachable?: readonly number[];
}

interface HalfDone {
  readonly atMs: number;
  /** Of a move. */
  readonly dueMs: number | undefined;
  readonly outcomes: ReadonlyMap<number, DelayOutcome>;
}

/** What a node knows of its delayed messages, summed up. */
export interface DelayTotals extends DelayCounts {
  /** Present when there are several. */
  readonly clusters?: readonly (DelayCounts & { readonly cluster: number })[];
  /** Clusters that could not be asked, and are not counted. */
  readonly unreachable?: readonly number[];
}

/**
 * What clients ask of delayed messages, over the delay logs of all clusters. A message stands in
 * that of the cluster that was used when it was sent, and in both when it was sent again at a
 * fail-over: so every cluster is asked, and a change is one only when each has answered.
 */
export class DelayDesk {
  readonly #sites: readonly DelaySite[];
  readonly #clock: Clock;
  /** By command and delay id: what a cluster did while another could not be asked. */
  readonly #halfDone = new Map<string, HalfDone>();

  constructor(sites: readonly DelaySite[], clock: Clock) {
    this.#sites = sites;
    this.#clock = clock;
  }

  /** Some cluster's delayed messages are served. */
  get isOpen(): boolean {
    return this.#sites.some(({ commands }) => commands !== undefined);
  }

  /**
   * The one that was accepted last, where several clusters have one. Undefined when each cluster
   * was asked and has none.
   * @throws BACKEND_UNAVAILABLE, RETRY_LATER, NOT_OWNER for what could not be asked
   */
  async get(id: Buffer): Promise<DelayedMessage | undefined> {
    const answers = await this.#ask(id, (site) => commandsOf(site).get(id), undefined);
    let newest: DelayedMessage | undefined;
    for (const answer of answers) {
      const found = 'value' in answer ? answer.value : undefined;
      if (found !== undefined && found.acceptedMs > (newest?.acceptedMs ?? -1)) newest = found;
    }
    if (newest === undefined) mustBeWhole(answers, () => 'nothing was found');
    return newest;
  }

  /** The topic a message is for; undefined: it waits nowhere. @throws as get */
  async topicOf(id: Buffer): Promise<string | undefined> {
    const answers = await this.#ask(id, (site) => commandsOf(site).topicOf(id), undefined);
    for (const answer of answers) {
      if ('value' in answer && answer.value !== undefined) return answer.value;
    }
    mustBeWhole(answers, () => 'nothing was found');
    return undefined;
  }

  /**
   * Ends every copy. Where a cluster cannot be asked, what the others have is ended all the same,
   * and the error says so; the command is to be given again.
   * @throws NOT_SUPPORTED for a message on a fixed level and a series; as get
   */
  async cancel(id: Buffer): Promise<DelayOutcome> {
    checkChangeable(id);
    return this.#change('cancel', id, (site) => commandsOf(site).cancel(id));
  }

  /** Moves every copy. @throws as cancel; BEYOND_HORIZON, INVALID_ARGUMENT */
  async move(id: Buffer, dueMs: number): Promise<DelayOutcome> {
    checkNewDue(dueMs, this.#clock.now());
    checkChangeable(id);
    return this.#change('move', id, (site) => commandsOf(site).move(id, dueMs), dueMs);
  }

  /** By due time, over all clusters that can be asked. @throws when none can */
  async list(query: DelayQuery): Promise<DelayPages> {
    const sites = this.#sites;
    if (sites.length === 1) return commandsOf(sites[0] as DelaySite).list(query);
    const { cursor, ...rest } = query;
    const from = readCursor(cursor, sites.length);
    const unread = sites.filter((_, i) => from[i] !== DONE);
    const answers = await askEach(unread, (site) => {
      const at = from[sites.indexOf(site)] as string;
      return commandsOf(site).list(at === '' ? rest : { ...rest, cursor: at });
    });
    const pages = askedOf(answers).map(({ site, value }) => ({ at: sites.indexOf(site), value }));
    const { delays, next, more } = mergePages(pages, from, query.limit);
    return { delays, ...(more ? { cursor: next.join('.') } : {}), ...unreachableOf(answers) };
  }

  /** @throws when no cluster can be asked */
  async stats(topic?: string): Promise<DelayTotals> {
    if (this.#sites.length === 1) return commandsOf(this.#sites[0] as DelaySite).stats(topic);
    const answers = await askEach(this.#sites, (site) => commandsOf(site).stats(topic));
    const asked = askedOf(answers);
    const clusters = asked.map(({ site, value }) => ({ cluster: site.number, ...value }));
    return { ...sumOf(asked.map(({ value }) => value)), clusters, ...unreachableOf(answers) };
  }

  async #change(
    command: string,
    id: Buffer,
    work: (site: DelaySite) => Promise<DelayOutcome>,
    dueMs?: number,
  ): Promise<DelayOutcome> {
    const name = `${command} ${formatDelayId(id)}`;
    const half = this.#halfDone.get(name);
    this.#halfDone.delete(name);
    const isAgain = half !== undefined && this.#isAgain(half, dueMs);
    const answers = (await this.#ask(id, work, 'notFound')).map(
      (answer): SiteAnswer<DelayOutcome> => {
        const isDone = 'value' in answer && ['notFound', 'tooLate'].includes(answer.value);
        if (!isAgain || !isDone) return answer;
        // Not found by this try, or fired, since the one before has done it.
        return { ...answer, value: half.outcomes.get(answer.site.number) ?? answer.value };
      },
    );
    if (answers.some((answer) => 'error' in answer)) this.#noteHalf(name, answers, dueMs);
    mustBeWhole(answers, (outcome) => wordsOf[outcome]);
    return worstOf(askedOf(answers).map(({ value }) => value));
  }

  /** The same command: one that moves by a time from now has another due time with each try. */
  #isAgain(half: HalfDone, dueMs: number | undefined): boolean {
    const sinceMs = this.#clock.monotonic() - half.atMs;
    if (sinceMs >= HALF_DONE_MS) return false;
    if (half.dueMs === undefined || dueMs === undefined) return true;
    const laterMs = dueMs - half.dueMs;
    return laterMs >= 0 && laterMs <= sinceMs + CLOCKS_APART_MS;
  }

  /** A command that is given again says what became of it at first. */
  #noteHalf(name: string, answers: readonly SiteAnswer<DelayOutcome>[], dueMs?: number): void {
    if (this.#halfDone.size >= HALF_DONE_MAX) {
      this.#halfDone.delete(this.#halfDone.keys().next().value as string);
    }
    const outcomes = new Map<number, DelayOutcome>();
    for (const answer of answers) {
      if ('value' in answer) outcomes.set(answer.site.number, answer.value);
    }
    this.#halfDone.set(name, { atMs: this.#clock.monotonic(), dueMs, outcomes });
  }

  /** Another node's partition in which nothing ever stood need not be asked there. */
  #ask<T>(id: Buffer, work: (site: DelaySite) => Promise<T>, none: T): Promise<SiteAnswer<T>[]> {
    if (this.#sites.length === 1) return askEach(this.#sites, work);
    return askEach(this.#sites, async (site) => {
      try {
        return await work(site);
      } catch (error) {
        if (codeOf(error) === 'NOT_OWNER' && (await commandsOf(site).isEmpty(id))) return none;
        throw error;
      }
    });
  }
}

const wordsOf: Readonly<Record<DelayOutcome, string>> = {
  cancelled: 'cancelled',
  moved: 'moved',
  tooLate: 'too late',
  notFound: 'nothing was found',
};

/** @throws what each cluster said, when one could not be asked */
function mustBeWhole<T>(answers: readonly SiteAnswer<T>[], said: (value: T) => string): void {
  if (answers.some((answer) => 'error' in answer)) throw refusalOf(answers, said);
}

// cursor := part *( '.' part ), one for each cluster      part := '' from its beginning
//                                                          | '-' all of it was listed
//                                                          | a cursor of that cluster alone
function readCursor(cursor: string | undefined, count: number): string[] {
  const parts = cursor === undefined ? new Array<string>(count).fill('') : cursor.split('.');
  if (parts.length === count && parts.some((part) => part !== DONE)) return parts;
  throw coded('INVALID_ARGUMENT', 'the cursor is not one that a list gave');
}

/**
 * Pages that are each in the order of due times, as one. A page that ended before its limit says
 * nothing of what is behind its cursor: there the others stop too.
 */
function mergePages(
  pages: readonly { readonly at: number; readonly value: DelayPage }[],
  from: readonly string[],
  limit: number,
): { delays: DelayedMessage[]; next: string[]; more: boolean } {
  const lines = pages.flatMap(({ at, value }) =>
    value.delays.map((delay) => ({ at, delay, key: keyOf(delay) })),
  );
  const ends = pages.flatMap(({ value: { cursor } }) => (cursor === undefined ? [] : [cursor]));
  const taken = lines
    .filter(({ key }) => ends.every((end) => key < end))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.at - b.at))
    .slice(0, limit);
  const next = [...from];
  for (const { at, value } of pages) {
    const own = taken.filter((line) => line.at === at);
    const last = own.at(-1);
    if (own.length === value.delays.length) next[at] = value.cursor ?? DONE;
    else if (last !== undefined) next[at] = `${last.key}00`;
  }
  const more = pages.some(({ at }) => next[at] !== DONE);
  return { delays: taken.map(({ delay }) => delay), next, more };
}

/** Its place in the index, as cursors have it. */
function keyOf({ dueMs, id }: DelayedMessage): string {
  return `64${dueMs.toString(16).padStart(16, '0')}${id.slice('d1-'.length)}`;
}

function sumOf(counts: readonly DelayCounts[]): DelayCounts {
  const sum = (read: (one: DelayCounts) => number): number =>
    counts.reduce((all, one) => all + read(one), 0);
  const nextDueMs = Math.min(...counts.map((one) => one.nextDueMs ?? Number.POSITIVE_INFINITY));
  const stuck = new Set(counts.flatMap((one) => one.stuckTopics ?? []));
  return {
    pending: sum((one) => one.pending),
    ...(counts.some(({ atLeast }) => atLeast === true) ? { atLeast: true } : {}),
    ...(Number.isFinite(nextDueMs) ? { nextDueMs } : {}),
    ...(stuck.size === 0 ? {} : { stuckTopics: [...stuck] }),
    near: sum((one) => one.near),
    queued: sum((one) => one.queued),
    fired: sum((one) => one.fired),
    early: sum((one) => one.early),
    late: sum((one) => one.late),
    cancelled: sum((one) => one.cancelled),
    moved: sum((one) => one.moved),
    refused: sum((one) => one.refused),
    seriesFired: sum((one) => one.seriesFired),
    seriesMissed: sum((one) => one.seriesMissed),
    partitions: sum((one) => one.partitions),
    ready: sum((one) => one.ready),
  };
}
