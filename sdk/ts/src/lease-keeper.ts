import type { Clock, Timer } from './clock.ts';
import type { Lease } from './lease.ts';

/** A lease is extended when less than this part of it is left. */
const PART_LEFT = 2 / 3;

export interface LeaseKeeperHost {
  readonly clock: Clock;
  /** The leases to look at. */
  leases(): Iterable<Lease>;
  /** Unless that was asked for before, and has no answer yet. */
  extend(lease: Lease): void;
}

/**
 * Extends leases before they end, for as long as each may be: once per third of a lease, all that
 * need it in one frame.
 */
export class LeaseKeeper {
  private readonly host: LeaseKeeperHost;
  private timer: Timer | undefined;
  private leaseMs = 0;
  private isOn = false;

  constructor(host: LeaseKeeperHost) {
    this.host = host;
  }

  /** Leases last this long from now on. */
  start(leaseMs: number): void {
    this.leaseMs = leaseMs;
    this.isOn = true;
    if (this.timer === undefined) this.wait();
  }

  stop(): void {
    this.isOn = false;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private wait(): void {
    this.timer = this.host.clock.setTimer(() => this.look(), this.leaseMs / 3);
    this.timer.unref?.();
  }

  private look(): void {
    if (!this.isOn) return;
    const nowMs = this.host.clock.monotonic();
    for (const lease of this.host.leases()) {
      const isWanted = lease.state === 'held' && nowMs < lease.extendUntilMs;
      if (isWanted && lease.endsAtMs - nowMs < this.leaseMs * PART_LEFT) this.host.extend(lease);
    }
    this.wait();
  }
}
