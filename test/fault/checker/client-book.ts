import { GrowingCounts } from './growing-counts.ts';

/** How a message ended for its client. */
export const outcome = { none: 0, invoked: 1, ok: 2, failed: 3, unknown: 4 } as const;

/** What the history says of one client's messages, by their number: a few bytes each. */
export class ClientBook {
  readonly client: number;
  readonly outcomes = new GrowingCounts();
  /** In how many places of each cluster the message was found. */
  readonly found = [new GrowingCounts(), new GrowingCounts()] as const;
  /** Bit 0: in the primary or the embedded log, bit 1: in the backup, bit 2: held by the node. */
  readonly where = new GrowingCounts();
  /** How often its client sent it again outside of the window. */
  readonly resent = new GrowingCounts();
  /** The index of the topic. */
  readonly topics = new GrowingCounts();
  /** Ids that answers gave, or under which a message was found first. */
  readonly ids = new Map<number, string>();
  lowestFound = Number.POSITIVE_INFINITY;
  highestFound = -1;

  constructor(client: number) {
    this.client = client;
  }

  /** Answers in how many places it was found by now. */
  noteFound(n: number, cluster: 'primary' | 'backup'): number {
    this.lowestFound = Math.min(this.lowestFound, n);
    this.highestFound = Math.max(this.highestFound, n);
    const [primary, backup] = this.found;
    (cluster === 'backup' ? backup : primary).increment(n);
    return primary.get(n) + backup.get(n);
  }

  /** Where a lost message lies among those that are there. */
  placeOf(n: number): 'prefix' | 'middle' | 'postfix' {
    if (n < this.lowestFound) return 'prefix';
    return n > this.highestFound ? 'postfix' : 'middle';
  }
}
