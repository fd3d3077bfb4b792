import { Histogram } from '../../base/histogram.ts';

const ACK_BOUNDS_MS = [
  1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
];
const ATTEMPT_BOUNDS = [1, 2, 3, 4, 5, 10, 20, 50];

/** What happened since the node started; for metrics and describe. */
export class ConsumeStats {
  delivered = 0;
  deliveredBytes = 0;
  acked = 0;
  /** Acks that named a message again which was acked under the same token. */
  ackedAgain = 0;
  nacked = 0;
  extended = 0;
  /** Leases that ran out; those of lost connections are among them. */
  expired = 0;
  /** Leases that went back when a subscription ended. */
  returned = 0;
  badTokens = 0;
  leaseLost = 0;
  notOwner = 0;
  duplicates = 0;
  /** Messages that were gone from the log before they were finished, by cause. */
  readonly lost = { retention: 0, compaction: 0, cut: 0 };
  commits = 0;
  commitFailures = 0;
  /** Sum of the times of commits, in ms. */
  commitMs = 0;
  rebalances = 0;
  /** From a delivery to its ack, in ms: of the latest 65,536 runs of this node. */
  readonly ackMs = new Histogram(ACK_BOUNDS_MS);
  /** Deliveries that messages had when they were acked. */
  readonly attempts = new Histogram(ATTEMPT_BOUNDS);
  /**
   * Deliveries of messages that had been given out before: they failed, they were given back by
   * their consumer or behind one that failed, or their owner was gone before it could commit more.
   */
  readonly again = { failed: 0, returned: 0, owner: 0 };
  /** Commit metadata of ours that could not be read: its map was taken as empty. */
  damagedMaps = 0;
}
