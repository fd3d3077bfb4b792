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
  /** Commit metadata of ours that could not be read: its map was taken as empty. */
  damagedMaps = 0;
}
