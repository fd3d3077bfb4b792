import type { ClusterNumber, SendPlan } from '../../lanes/lane-calls.ts';
import type { ClusterCircuits } from './cluster-circuits.ts';

/** Who decides which cluster is used: the circuits, or a person. */
export type ClusterUse = 'auto' | 'primary' | 'backup';

/** What {@link planOf} looks at. */
export interface ChoiceInput {
  readonly use: ClusterUse;
  /** The cluster in use now. */
  readonly main: ClusterNumber;
  readonly circuits: readonly [primary: ClusterCircuits, backup: ClusterCircuits];
  /** Topics, by id, that wait for the primary whatever happens. */
  readonly waiting: Iterable<number>;
  readonly nowMs: number;
}

/**
 * What goes where. By itself the primary is used while its circuit is closed; else the backup while
 * its is; with both open nothing is sent, and the first that has answered for a while is used,
 * the primary rather than the backup, without waiting for trust.
 */
export function planOf(input: ChoiceInput): SendPlan {
  const { use, circuits } = input;
  const [primary, backup] = circuits;
  const main = use === 'auto' ? mainOf(input) : use === 'primary' ? 0 : 1;
  const isForced = use !== 'auto' || circuits[main].isUsableAlone(input.nowMs);
  const isOpen: [boolean, boolean] = [primary.isOpen, backup.isOpen];
  if (isForced) isOpen[main] = false;
  const elsewhere = new Map<number, ClusterNumber>();
  if (use === 'auto' && main === 0 && !backup.isOpen) {
    for (const topic of primary.openTopics) if (!backup.isTopicOpen(topic)) elsewhere.set(topic, 1);
  }
  for (const topic of input.waiting) {
    elsewhere.delete(topic);
    if (main === 1) elsewhere.set(topic, 0);
  }
  return { main, isOpen, elsewhere: [...elsewhere].sort(([a], [b]) => a - b) };
}

function mainOf({ main, circuits, nowMs }: ChoiceInput): ClusterNumber {
  const [primary, backup] = circuits;
  if (!primary.isOpen) return 0;
  if (main === 0) {
    if (primary.isUsableAlone(nowMs)) return 0;
    return backup.isOpen ? 0 : 1;
  }
  if (backup.isOpen && primary.isUsableAlone(nowMs)) return 0;
  return 1;
}
