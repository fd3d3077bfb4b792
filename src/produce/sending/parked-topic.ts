import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { AsideEntry } from '../../store/lane-store.ts';
import type { Backlog } from './backlog.ts';
import type { Lag } from './lag.ts';
import { Strikes } from './strikes.ts';

/** Entries of a topic that were taken together and wait for their verdicts. */
export interface ParkedChunk {
  readonly entries: readonly AsideEntry[];
  /** The sender's own number of the first. */
  readonly first: number;
  /** Entries without a verdict. */
  left: number;
  readonly delivered: AsideEntry[];
  /** Some came back, or were refused where a refusal counts only when it comes again. */
  cameBack: boolean;
  /** Some were refused for good; each for its own sake only when it was sent alone. */
  refusal: Verdict | undefined;
}

/** Somebody wants to give up all that is parked of a topic. */
export interface GiveUp {
  readonly verdict: Verdict;
  /** So many messages were. */
  done(messages: number): void;
}

/** A topic of which messages are parked. */
export class ParkedTopic {
  readonly id: number;
  readonly name: string;
  readonly lag: Lag;
  readonly backlog: Backlog;
  /** Everything before it left the outbox, or is just being confirmed or refused. */
  swept = 0;
  /** Below {@link swept}, with the ordinary producer, and without a verdict of it. */
  readonly onTheWay = new Set<number>();
  /** Of these, confirmed by it all the same: to be taken out of the log. */
  delivered: number[] = [];
  chunk: ParkedChunk | undefined;
  /** Where its log is read on: what is before was delivered, or is with the producer. */
  from = 0;
  /** Entries of the next chunk at most; one, until that shows whether the topic takes any. */
  chunkMax = 1;
  /** Messages before this sequence are sent one by one: their chunk was refused. */
  aloneUntil = 0;
  retryAtMs = 0;
  /** When a message last left its log: the cluster took it, or it became undeliverable. */
  leftMs = Number.NEGATIVE_INFINITY;
  /** Of messages of its log. */
  strikes = new Strikes();
  giveUp: GiveUp | undefined;

  constructor(id: number, name: string, lag: Lag, backlog: Backlog) {
    this.id = id;
    this.name = name;
    this.lag = lag;
    this.backlog = backlog;
  }

  /** No message of it is out: not of its log, and not with the ordinary producer. */
  get isIdle(): boolean {
    return this.chunk === undefined && this.onTheWay.size === 0 && this.delivered.length === 0;
  }
}
