import type { Cluster } from '../../backend/consumer-port.ts';
import type { LeaseOwner, OpenLease } from '../../offsets/open-leases.ts';
import type { LeaseWindow } from '../lease/lease-window.ts';
import type { SettlePolicy } from '../lease/settle.ts';
import type { Subscription } from './subscription.ts';

/** What a partition is made of. */
export interface PartitionOptions {
  readonly cluster: Cluster;
  readonly topic: string;
  readonly partition: number;
  readonly window: LeaseWindow;
  readonly policy: SettlePolicy;
  /** {@link ownerHash} of this node: 8 bytes. */
  readonly owner: Buffer;
  readonly epoch: number;
}

/** An owner before, as far as its leases hold on. */
export interface Before {
  readonly ownerHigh: number;
  readonly ownerLow: number;
  readonly epoch: number;
  /** Modulo 2^32. Only these are honoured: others have the numbers of runs of this owner. */
  readonly runs: Set<number>;
}

/** A commit that was not taken, and is tried again. */
export interface CommitFault {
  readonly code: string;
  readonly message: string;
}

/** What the owner before has left; see `Started`. */
interface Left {
  readonly before: LeaseOwner | undefined;
  readonly leases: readonly OpenLease[];
  readonly given: number;
  readonly leftIn: Buffer | undefined;
}

/** A partition that this node owns for a group. */
export class ConsumePartition {
  readonly cluster: Cluster;
  readonly topic: string;
  readonly topicBytes: Buffer;
  readonly partition: number;
  readonly window: LeaseWindow;
  readonly policy: SettlePolicy;
  readonly owner: Buffer;
  readonly ownerHigh: number;
  readonly ownerLow: number;
  readonly epoch: number;
  /** The owner before, and earlier ones whose leases it had taken over. */
  readonly before: Before[] = [];
  /** Behind the last message that owners before are known to have given out. */
  givenBefore = 0;
  /** Leases of these by offset, as far as they are known to be open: its next owner takes them. */
  readonly handedOver = new Map<number, { readonly run: number; readonly by: LeaseOwner }>();
  /** Key of the record that named these to this owner, until its own commits do. */
  leftIn: Buffer | undefined;
  /** Nothing is leased any more: it goes to another member. */
  isLeaving = false;
  isClosed = false;
  /** Something changed since the last commit was begun. */
  isDirty = false;
  /** Why the last commit was not taken; undefined when it was. */
  commitFault: CommitFault | undefined;
  /** The floor of the last commit, and when it last rose, in ms of the engine's clock. */
  committedFloor: number;
  floorSinceMs = 0;
  /** Of a partition-ordered group: who has it. */
  bound: Subscription | undefined;
  /** Its position is set: records may be asked for. */
  isFetching = false;
  /** Bytes of fetch credit that are out. */
  wanted = 0;
  /** Bytes of a record, as the latest fetches had them. */
  averageBytes = 1_024;
  /** End of the log as last heard; when it was (-1: never), and when it was asked for. */
  endOffset = 0;
  endHeardMs = -1;
  endAskedMs = Number.NEGATIVE_INFINITY;
  /** Nothing could be given out in this round of dispatching. */
  dryRound = -1;

  constructor(options: PartitionOptions) {
    this.cluster = options.cluster;
    this.topic = options.topic;
    this.topicBytes = Buffer.from(options.topic);
    this.partition = options.partition;
    this.window = options.window;
    this.policy = options.policy;
    this.owner = options.owner;
    this.ownerHigh = options.owner.readUInt32BE(0);
    this.ownerLow = options.owner.readUInt32BE(4);
    this.epoch = options.epoch;
    this.committedFloor = options.window.merger.floor;
  }

  /** Takes over what the owner before has left; rows of leases without a run are none. */
  inherit({ before, leases, given, leftIn }: Left): void {
    this.givenBefore = given;
    this.leftIn = leftIn;
    this.window.given = given;
    if (before === undefined) return;
    this.#beforeOf(before);
    for (const { offset, run, by = before } of leases) {
      if (run === 0) continue;
      this.#beforeOf(by).runs.add(run >>> 0);
      this.handedOver.set(offset, { run: run >>> 0, by });
    }
  }

  #beforeOf({ owner, epoch }: LeaseOwner): Before {
    const ownerHigh = owner.readUInt32BE(0);
    const ownerLow = owner.readUInt32BE(4);
    const known = this.before.find(
      (one) => one.epoch === epoch && one.ownerHigh === ownerHigh && one.ownerLow === ownerLow,
    );
    if (known !== undefined) return known;
    const made = { ownerHigh, ownerLow, epoch, runs: new Set<number>() };
    this.before.push(made);
    return made;
  }

  /** Messages that could be given out, as far as their order lets them. */
  get stock(): number {
    return this.isLeaving ? 0 : this.window.ready + this.window.fresh;
  }

  /** Messages of the log behind what was read, and read ones that are unfinished. */
  get lag(): number {
    const { window } = this;
    return Math.max(0, this.endOffset - window.nextOffset) + window.unfinished;
  }
}
