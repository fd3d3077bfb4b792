import type { RingMemory } from './ring.ts';

/**
 * What the main thread may ask of a lane, by name. Requests and answers are plain data, since
 * they cross a thread; they are few, unlike messages, which travel in the ring.
 */
export interface LaneCalls {
  openSession(request: {
    session: number;
    producerId: bigint;
    epoch: number;
    ordered: boolean;
    owner: string;
  }): { refused?: 'fenced' | 'foreign'; lastSequence: number; replaces: number | undefined };
  closeSession(session: number): void;
  setTopic(topic: LaneTopic): void;
  /** Delayed messages are taken from now on, as records of this topic. */
  setDelay(delay: LaneDelay): void;
  /** The topics that were known before are set: what a former run left may be sent. */
  startSending(): void;
  /** Embedded log only: one of its own calls, by name. */
  log(name: string, args: unknown): unknown;
  /** Gives up what waits of a topic; answers the messages that went to the undeliverable log. */
  dropTopic(id: number): number;
  /** Where to send from now on. What is on its way elsewhere is waited for, or taken back. */
  setPlan(plan: SendPlan): void;
  setMarks(marks: {
    softBytes: number;
    hardBytes: number;
    freeBytesMin: number;
    parkedBytes: number;
    undeliverableBytes: number;
    drainsGently: boolean;
  }): void;
  /** The logs beside the outbox: what is there, again, or away with it. */
  aside(call: AsideCall): AsideAnswer;
  setLogLevel(level: string): void;
  /** The node goes away: new messages are refused with `DRAINING` from now on. */
  refuseNew(): void;
  /** Resolves when everything in the ring was stored and answered. */
  drain(): void;
  /** Resolves when nothing waits for the backend any more, or after the time. */
  flush(timeoutMs: number): boolean;
  close(): void;
}

/** 0: the primary cluster, 1: the backup. */
export type ClusterNumber = 0 | 1;

/** What goes to which cluster: decided in one place for all lanes of a node. */
export interface SendPlan {
  /** The cluster that everything goes to but what stands in {@link elsewhere}. */
  readonly main: ClusterNumber;
  /**
   * By cluster: true while it is out of order. Nothing is handed to it then; what is on its way
   * to it is taken back when it is to go to the other.
   */
  readonly isOpen: readonly [primary: boolean, backup: boolean];
  /** Topics, by id, that do not go to {@link main}. */
  readonly elsewhere: readonly (readonly [topic: number, cluster: ClusterNumber])[];
}

/** A topic as lanes must know it. */
export interface LaneTopic {
  readonly id: number;
  readonly name: string;
  readonly partitions: number;
  /** Largest message, key + headers + value, in bytes. */
  readonly messageBytesMax: number;
  /** Longest batch of messages that the backend takes, in bytes. */
  readonly batchBytesMax: number;
  /** False: no `mq` header is put on its records in Kafka. */
  readonly idHeader: boolean;
  /** True: while it takes no messages they wait in the outbox, and are never parked. */
  readonly isPatient?: boolean;
}

/** How lanes take delayed messages. */
export interface LaneDelay {
  /** The node topic id of the delay log; 0: not at all. */
  readonly topic: number;
  /** Durations of the fixed levels, in ms. */
  readonly levelsMs: readonly number[];
}

/** What is asked of a lane's logs beside the outbox. */
export interface AsideCall {
  readonly does: 'topics' | 'read' | 'retry' | 'purge';
  readonly log: 'parked' | 'undeliverable';
  readonly topic?: string | undefined;
  /** `read`: from this sequence of the lane on, at most so many. */
  readonly sequence?: number;
  readonly messagesMax?: number;
}

/** The answer to an {@link AsideCall}: what fits what it does. */
export interface AsideAnswer {
  readonly topics?: { topic: string; messages: number; bytes: number; sinceMs: number }[];
  readonly messages?: {
    id: string;
    topic: string;
    acceptedMs: number;
    asideMs: number;
    code: string;
    reason: string;
    flags: number;
    body: Uint8Array;
  }[];
  /** `read`: where to go on. */
  readonly next?: number;
  /** `retry`, `purge`: messages. */
  readonly count?: number;
}

export type LaneCallName = keyof LaneCalls;

/** Something a lane says unasked. */
export type LaneEvent =
  /** This connection broke the protocol: close it with the code, after its answers. */
  | { readonly kind: 'fatal'; readonly session: number; readonly code: number }
  /**
   * The lane is out of service for good: its store failed twice, or cannot be opened again; or its
   * thread has ended, and what it had in hand with it.
   */
  | {
      readonly kind: 'out';
      readonly cause: 'disk' | 'thread';
      readonly code: string;
      readonly message: string;
    }
  /** The cluster does not seem to know a topic of which messages wait. */
  | {
      readonly kind: 'topicMissing';
      readonly topic: number;
      readonly name: string;
      readonly cluster: ClusterNumber;
    }
  | { readonly kind: 'pressure'; readonly pressure: 'none' | 'soft' | 'hard' };

/** The memory that a lane and the main thread share. */
export interface LaneMemory {
  /** Frames on their way to the lane. */
  readonly requests: RingMemory;
  /** Answers on their way back. */
  readonly answers: RingMemory;
  readonly stats: SharedArrayBuffer;
  /** The numbers of all lanes of the node, its own among them. */
  readonly allStats: readonly SharedArrayBuffer[];
}

/** A lane as it runs somewhere: in this thread or in a worker. */
export interface LaneHandle {
  /** The doorbell of the lane's thread. */
  readonly bell: number;
  call<N extends LaneCallName>(
    name: N,
    ...args: Parameters<LaneCalls[N]>
  ): Promise<ReturnType<LaneCalls[N]>>;
  /** Ends the thread, if there is one. The lane was closed before. */
  stop(): Promise<void>;
}

/** Starts a lane. `bell` is the doorbell of the main thread. */
export type StartLane = (
  memory: LaneMemory,
  bell: number,
  onEvent: (event: LaneEvent) => void,
) => Promise<LaneHandle>;
