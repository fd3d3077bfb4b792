import type { Cluster } from '../backend/consumer-port.ts';
import { type CodedError, coded, codeOf, messageOf } from '../base/errors.ts';
import type { DelayCommands } from './delay-commands.ts';
import type { SeriesCommands } from './series-commands.ts';

/** One configured cluster, as commands reach what waits in its delay log. */
export interface DelaySite {
  readonly number: Cluster;
  /** Both are undefined as long as the role is not open there; `whyClosed` says why. */
  readonly commands: DelayCommands | undefined;
  readonly series: SeriesCommands | undefined;
  readonly whyClosed: CodedError;
}

/** What one cluster said: its answer, or why it could not be asked. */
export type SiteAnswer<T> =
  | { readonly site: DelaySite; readonly value: T }
  | { readonly site: DelaySite; readonly error: unknown };

/** Codes by which a cluster says that it cannot answer; all else is the asker's own fault. */
const UNASKED = ['BACKEND_UNAVAILABLE', 'RETRY_LATER', 'NOT_OWNER', 'NOT_SUPPORTED'];

/**
 * Asks every cluster at once. Never waits for one longer than that one takes to refuse.
 * @throws what no other cluster could make good: a missing right, a wrong argument, a bug
 */
export async function askEach<T>(
  sites: readonly DelaySite[],
  ask: (site: DelaySite) => Promise<T>,
): Promise<SiteAnswer<T>[]> {
  const answers = await Promise.all(
    sites.map(async (site): Promise<SiteAnswer<T>> => {
      try {
        return { site, value: await ask(site) };
      } catch (error) {
        return { site, error };
      }
    }),
  );
  for (const answer of answers) {
    if ('error' in answer && !UNASKED.includes(codeOf(answer.error))) throw answer.error;
  }
  return answers;
}

/** @throws why there are none */
export function commandsOf(site: DelaySite): DelayCommands {
  if (site.commands === undefined) throw site.whyClosed;
  return site.commands;
}

/** @throws why there are none */
export function seriesOf(site: DelaySite): SeriesCommands {
  if (site.series === undefined) throw site.whyClosed;
  return site.series;
}

/** Clusters that could not be asked, for an answer that lacks what is theirs. */
export function unreachableOf<T>(answers: readonly SiteAnswer<T>[]): {
  readonly unreachable?: readonly number[];
} {
  const away = answers.filter((answer) => 'error' in answer).map(({ site }) => site.number);
  return away.length === 0 ? {} : { unreachable: away };
}

/** The answers of those that could be asked. @throws when there is none */
export function askedOf<T>(
  answers: readonly SiteAnswer<T>[],
): { readonly site: DelaySite; readonly value: T }[] {
  const asked = answers.flatMap((answer) => ('value' in answer ? [answer] : []));
  if (asked.length === 0) throw refusalOf(answers, () => '');
  return asked;
}

/**
 * Why a question has no answer: what each cluster said. With `NOT_OWNER` only when nothing better
 * than another node is missing.
 * @param said what a cluster's answer means, in words
 */
export function refusalOf<T>(
  answers: readonly SiteAnswer<T>[],
  said: (value: T) => string,
): unknown {
  const errors = answers.flatMap((answer) => ('error' in answer ? [answer.error] : []));
  if (answers.length === 1) return errors[0];
  const first = errors.find((error) => codeOf(error) !== 'NOT_OWNER') ?? errors[0];
  const words = answers.map((answer) => {
    const where = `the ${nameOf(answer.site.number)} cluster`;
    if ('value' in answer) return `${said(answer.value)} on ${where}`;
    return `${where} cannot be asked (${codeOf(answer.error)}: ${messageOf(answer.error)})`;
  });
  return coded(codeOf(first), words.join('; '), { cause: first });
}

/** A cluster as people call it. */
export function nameOf(cluster: Cluster): 'primary' | 'backup' {
  return cluster === 0 ? 'primary' : 'backup';
}

/** What became of a command, over all clusters: what was published was not kept from firing. */
export function worstOf<T extends string>(outcomes: readonly T[]): T {
  const worst = outcomes.find((outcome) => outcome === 'tooLate');
  return worst ?? outcomes.find((outcome) => outcome !== 'notFound') ?? (outcomes[0] as T);
}
