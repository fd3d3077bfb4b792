import type { OpenLease } from '../../offsets/open-leases.ts';
import type { LeaseWindow } from '../lease/lease-window.ts';
import { NO_WAIT } from '../lease/window-state.ts';
import type { Failures, Refusal } from './failures.ts';

/** Where {@link inherit} puts what owners before have left. */
export interface Heir {
  readonly window: LeaseWindow;
  readonly failures: Failures;
  /** Deliveries of a message; see `SettlePolicy`. */
  readonly attemptsMax: number;
  /** In ms of the window's clock. */
  readonly nowMs: number;
}

/** Why a message is given up whose last delivery was under an owner before. */
const exhausted: Refusal = {
  cause: 'nack',
  said: { delayMs: undefined, reason: 'exhausted under the owner before' },
};

/**
 * Leases of owners before hold on, and what failed under them goes on waiting. What has had its
 * last delivery is given out no more: the policy decides as soon as it is read.
 */
export function inherit(
  leases: readonly OpenLease[],
  { window, failures, attemptsMax, nowMs }: Heir,
): void {
  for (const { offset, attempt, leftMs, run: serial } of leases) {
    const run = serial >>> 0;
    const isFailed = run === 0;
    const lease = { run, attempt, dueMs: isFailed && leftMs === 0 ? NO_WAIT : nowMs + leftMs };
    if (!isFailed) window.inherited.set(offset, lease);
    else if (attempt < attemptsMax) {
      window.inherited.set(offset, lease);
      failures.inherit(offset);
    } else {
      window.inherited.set(offset, { ...lease, dueMs: NO_WAIT, isRefused: true });
      failures.inherit(offset, exhausted);
    }
  }
}
