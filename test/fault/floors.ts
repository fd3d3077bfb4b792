import type { FaultName } from './drawn-faults.ts';

/** What a driven run did. */
export interface DrivenTotals {
  readonly answered: number;
  readonly resends: number;
  /** Times that messages were seen to go to the other cluster. */
  readonly switches: number;
  readonly faults: Readonly<Partial<Record<FaultName, number>>>;
}

/** After each fault so many more messages are answered. */
export const ANSWERED_AFTER_FAULT = 50;

/** Each of these is long enough that messages go to the other cluster. */
const SWITCHING: readonly FaultName[] = ['primary-away', 'use-backup'];
/** Each of these leaves messages that must be sent again, mostly; not each one. */
const RESENDING: readonly FaultName[] = ['kill', 'power', 'freeze-kafka', 'half-open'];
const RESENDING_ENOUGH = 5;

/** What a driven run did too little of to prove anything, in words; none: it did enough. */
export function missingFrom(
  { answered, resends, switches, faults }: DrivenTotals,
  { clusters, only }: { readonly clusters: number; readonly only?: readonly string[] | undefined },
): string[] {
  const times = (names: readonly string[]): number =>
    names.reduce((sum, name) => sum + (faults[name as FaultName] ?? 0), 0);
  const missing: string[] = [];
  const floor = ANSWERED_AFTER_FAULT * times(Object.keys(faults));
  if (times(Object.keys(faults)) === 0) missing.push('no fault happened');
  for (const name of only ?? []) if (times([name]) === 0) missing.push(`${name} never happened`);
  if (answered < Math.max(floor, 100)) missing.push(`answered: ${answered}, ${floor} are expected`);
  const isSwitching = only === undefined || SWITCHING.some((name) => only.includes(name));
  if (clusters === 2 && isSwitching && switches === 0)
    missing.push('the cluster was never changed: run it for longer');
  if (clusters > 0 && times(RESENDING) >= RESENDING_ENOUGH && resends === 0)
    missing.push('nothing was sent again');
  return missing;
}
