/** How a group hands out messages. Names as on the wire (SUBSCRIBE, field `mode`). */
export type ConsumeMode = 'shared' | 'key-ordered' | 'partition-ordered';

/**
 * Why a delivery did not end in an ack: the consumer said so (`nack`), it asked for the dead letter
 * queue at once (`dead`), or its lease ran out (`expiry`; also when its connection is lost).
 */
export type FailureCause = 'nack' | 'dead' | 'expiry';

/** One message whose delivery failed, as the policy sees it. */
export interface Failure {
  /** 0 primary or embedded, 1 backup. */
  readonly cluster: number;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly mode: ConsumeMode;
  readonly cause: FailureCause;
  /** Deliveries so far, the failed one included, as far as they were committed: from 1. */
  readonly attempt: number;
  /** The wait that NACK asked for, in ms; undefined: the policy's own. */
  readonly askedDelayMs: number | undefined;
  /** What NACK said; empty after an expiry. */
  readonly reason: string;
  /** When this owner saw the message fail for the first time, in ms since 1970. */
  readonly firstFailureMs: number;
  /** Now, in ms since 1970. */
  readonly nowMs: number;
  /** Since when this owner has the partition, in ms of the monotonic clock. */
  readonly ownedSinceMs: number;
}

/**
 * What happens to a failed message.
 * - `wait`: it stays unfinished without being given out, and `decide` is asked again, with the same
 *   attempt: the budget of dead letters is used up. Of the messages of a partition that wait the
 *   first is asked for `delayMs` from then, and those behind it as long as they need not wait.
 * - `retry`: it stays in the lease table and is given out again `delayMs` from now (0: at once), at
 *   most {@link IN_PLACE_MS_MAX}. In an ordered mode its key, or its partition, waits with it.
 * - `putOff`: {@link SettlePolicy.putOff} is called, to come again `delayMs` from now; the message
 *   is acked when that resolves.
 * - `move`: {@link SettlePolicy.move} is called; the message is acked when that resolves.
 * - `hold`: it stays unfinished and is not given out until the group is resumed (`onExhausted:
 *   block`). In an ordered mode its key, or its partition, waits with it.
 */
export type Decision =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'putOff'; readonly delayMs: number }
  | { readonly kind: 'move' }
  | { readonly kind: 'hold' };

/** The policy of one (group, topic). It is asked per failed message, never per delivered one. */
export interface SettlePolicy {
  /**
   * A message older than this, by its timestamp, is acked and counted instead of given out;
   * infinity: none is.
   */
  readonly ttlMs: number;
  /** Deliveries after which a message that failed is exhausted, and given out to nobody again. */
  readonly attemptsMax: number;
  /** `count` messages were acked by consumers; called once for each batch of acks. */
  acked(count: number): void;
  /** Decides at once, without I/O. Must not throw. */
  decide(failure: Failure): Decision;
  /**
   * Makes the message durable in the dead letter topic. It is acked only after this has resolved.
   * A rejection leaves it unfinished: `decide` is asked again after `moveRetryMs`, with the same
   * attempt.
   *
   * @param record the whole wire record [P-7.2], *owned* by the callee
   */
  move(failure: Failure, record: Buffer): Promise<void>;
  /**
   * Makes the message durable as a delayed one that comes again, for this group alone, at `dueMs`
   * (ms since 1970). Rejections and `record` as with {@link move}.
   */
  putOff(failure: Failure, record: Buffer, dueMs: number): Promise<void>;
  /** `count` messages were dropped for their age. */
  expired(count: number): void;
}

/**
 * Where the engine finds the policy of a group's topic: asked when a partition is assigned. A
 * group's own retry topic has the policy of the topic that it belongs to.
 */
export interface Settler {
  policyOf(group: string, topic: string): SettlePolicy;
}

/**
 * Longest wait in the lease table, in ms: it keeps times modulo 2^32, so that what lies further
 * ahead would count as over. Leases (12 h) and `retry.inPlaceMax` (1 h) are far below.
 */
export const IN_PLACE_MS_MAX = 2 ** 31 - 1;

/** Between a failed move and the next decision, in ms. */
export const moveRetryMs = 1_000;
