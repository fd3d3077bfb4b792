import type { Lease } from './lease.ts';

/** How often in a lease one looks for what has ended, at most. */
const LOOKS = 10;

/** Everything that is leased to a consumer, in its queue or handed out. */
export class HeldLeases implements Iterable<Lease> {
  private readonly all = new Set<Lease>();
  /** What of it subscriptions before the present one brought. */
  private earlier = new Set<Lease>();
  private readonly fewerBefore: () => void;
  private lookAtMs = Number.NEGATIVE_INFINITY;

  /** `fewerBefore` is told whenever {@link before} falls. */
  constructor(fewerBefore: () => void) {
    this.fewerBefore = fewerBefore;
  }

  get size(): number {
    return this.all.size;
  }

  /** How many came before the present subscription: they count against its credit. */
  get before(): number {
    return this.earlier.size;
  }

  [Symbol.iterator](): IterableIterator<Lease> {
    return this.all.values();
  }

  add(lease: Lease): void {
    this.all.add(lease);
  }

  delete(lease: Lease): void {
    this.all.delete(lease);
    if (this.earlier.delete(lease)) this.fewerBefore();
  }

  clear(): void {
    this.all.clear();
    this.earlier.clear();
  }

  /** What comes from now on is of a new subscription. */
  subscribing(): void {
    this.earlier = new Set(this.all);
  }

  /** What COMMIT of this lease's message settled beside it. */
  committed({ run, offset }: Lease): void {
    for (const lease of this.all) {
      if (lease.state !== 'held' || lease.offset > offset || !isSamePartition(lease, run)) continue;
      lease.settled();
      this.delete(lease);
    }
  }

  /** In order, NACK of this lease's message ends the leases of those behind it. */
  givenBack({ run, offset }: Lease): void {
    for (const lease of this.all) {
      if (lease.state === 'held' && lease.offset > offset && isSamePartition(lease, run)) {
        this.lose(lease);
      }
    }
  }

  /**
   * What was handed out and never settled must not be held for ever. Of one that is being extended
   * the node will say whether it has ended.
   */
  forgetEnded(nowMs: number, leaseMs: number): void {
    if (nowMs < this.lookAtMs) return;
    this.lookAtMs = nowMs + leaseMs / LOOKS;
    for (const lease of this.all) {
      const isIdle = lease.state === 'held' && lease.extending === 0;
      if (isIdle && lease.endsAtMs <= nowMs) this.lose(lease);
    }
  }

  private lose(lease: Lease): void {
    lease.lose();
    this.delete(lease);
  }
}

function isSamePartition({ run }: Lease, { topic, cluster, partition }: Lease['run']): boolean {
  return run.partition === partition && run.topic === topic && run.cluster === cluster;
}
