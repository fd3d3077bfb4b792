import type { SeriesPage } from '../../protocol/src/series.ts';
import type { Cluster } from '../backend/consumer-port.ts';
import { coded } from '../base/errors.ts';
import {
  askEach,
  askedOf,
  type DelaySite,
  refusalOf,
  type SiteAnswer,
  seriesOf,
  unreachableOf,
  worstOf,
} from './delay-sites.ts';
import type { MayChange, SeriesOutcome, SeriesRequest } from './series-commands.ts';

/** A name that a node drew. */
const DRAWN = /^s-[0-9a-f]{16}$/;

/** A page of all clusters. */
export interface SeriesPages extends SeriesPage {
  /** Clusters that could not be asked: their series are missing. */
  readonly unreachable?: readonly number[];
}

/**
 * What clients ask of series, over all clusters. A series stands in one of them: under a name that
 * was chosen in the primary, or where one of that name stands already; under a drawn name in the
 * one in use.
 */
export class SeriesDesk {
  readonly #sites: readonly DelaySite[];
  readonly #inUse: () => Cluster;

  /** @param inUse where messages go to now */
  constructor(sites: readonly DelaySite[], inUse: () => Cluster) {
    this.#sites = sites;
    this.#inUse = inUse;
  }

  /**
   * Begins a series; one of the same name is replaced, wherever it stands.
   * @throws INVALID_ARGUMENT in words; NOT_OWNER; RETRY_LATER, BACKEND_UNAVAILABLE, also while the
   * primary, in which one of this name may stand, cannot be asked
   */
  async schedule(
    request: SeriesRequest,
    mayChange: MayChange,
  ): Promise<{ readonly series: string; readonly nextMs: number }> {
    const [home] = this.#sites as [DelaySite];
    const { series } = request;
    if (this.#sites.length === 1) return seriesOf(home).schedule(request, mayChange);
    if (series === undefined) return seriesOf(this.#used()).schedule(request, mayChange);
    const answers = await askEach(this.#sites, (site) => seriesOf(site).has(series));
    const atHome = answers[0] as SiteAnswer<boolean>;
    const standing = answers.flatMap((one) => ('value' in one && one.value ? [one.site] : []));
    const isWhole = answers.every((one) => 'value' in one);
    // A drawn name may stand in either.
    if ('error' in atHome || (!isWhole && DRAWN.test(series))) {
      throw refusalOf(answers, (has) => (has ? 'the series stands' : 'no such series'));
    }
    const [first = home, ...others] = standing;
    const answer = await seriesOf(first).schedule(request, mayChange);
    for (const other of others) await seriesOf(other).cancel(series, mayChange);
    return answer;
  }

  /** Ends a series in every cluster. @throws as DelayDesk.cancel */
  cancel(series: string, mayChange: MayChange): Promise<SeriesOutcome> {
    return this.#change((site) => seriesOf(site).cancel(series, mayChange));
  }

  /** Cancels one firing. @throws as cancel */
  cancelFiring(series: string, number: number, mayChange: MayChange): Promise<SeriesOutcome> {
    return this.#change((site) => seriesOf(site).cancelFiring(series, number, mayChange));
  }

  /** One cluster's after the other's. @throws when none can be asked */
  async list(query: {
    readonly limit: number;
    readonly cursor?: string;
    readonly mayRead: (topic: string) => boolean;
  }): Promise<SeriesPages> {
    const { cursor, ...rest } = query;
    const [home] = this.#sites as [DelaySite];
    if (this.#sites.length === 1) return seriesOf(home).list(query);
    // cursor := index of a cluster, '.', and a cursor of that cluster alone
    const [, index = '0', own = ''] = /^([01])\.([0-9a-f]*)$/.exec(cursor ?? '0.') ?? [];
    if (cursor !== undefined && !cursor.startsWith(`${index}.`)) {
      throw coded('INVALID_ARGUMENT', 'the cursor is not one that a list gave');
    }
    const answers: SiteAnswer<SeriesPage>[] = [];
    for (const [i, site] of this.#sites.entries()) {
      if (i < Number(index)) continue;
      const found = askedSoFar(answers);
      const left = query.limit - found.length;
      if (left === 0) return { series: found, cursor: `${i}.`, ...unreachableOf(answers) };
      const at = i === Number(index) && own !== '' ? { cursor: own } : {};
      const part = { ...rest, limit: left, ...at };
      answers.push(...(await askEach([site], (one) => seriesOf(one).list(part))));
      const [page] = askedOrNone(answers.slice(-1));
      if (page?.cursor !== undefined) {
        const next = `${i}.${page.cursor}`;
        return { series: askedSoFar(answers), cursor: next, ...unreachableOf(answers) };
      }
    }
    return {
      series: askedOf(answers).flatMap(({ value }) => value.series),
      ...unreachableOf(answers),
    };
  }

  /** Where a series that nobody named goes. */
  #used(): DelaySite {
    const inUse = this.#sites.find(({ number }) => number === this.#inUse());
    return inUse ?? (this.#sites[0] as DelaySite);
  }

  async #change(work: (site: DelaySite) => Promise<SeriesOutcome>): Promise<SeriesOutcome> {
    const answers = await askEach(this.#sites, work);
    const values = askedOrNone(answers);
    if (values.length === answers.length) return worstOf(values);
    // A series stands in one cluster: where it was found, it is.
    const found = values.find((value) => value !== 'notFound');
    if (found !== undefined) return found;
    throw refusalOf(answers, () => 'nothing was found');
  }
}

function askedOrNone<T>(answers: readonly SiteAnswer<T>[]): T[] {
  return answers.flatMap((answer) => ('value' in answer ? [answer.value] : []));
}

function askedSoFar(answers: readonly SiteAnswer<SeriesPage>[]) {
  return askedOrNone(answers).flatMap(({ series }) => series);
}
