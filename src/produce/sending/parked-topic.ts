import type { AsideEntry } from '../../store/lane-store.ts';
import type { Backlog } from './backlog.ts';
import type { Lag } from './lag.ts';

/** Entries of a topic that were taken together and wait for their verdicts. */
export interface ParkedChunk {
  readonly entries: readonly AsideEntry[];
  /** The sender's own number of the first. */
  readonly first: number;
  /** Entries without a verdict. */
  left: number;
  readonly delivered: AsideEntry[];
  /** Some came back, or were refused. */
  isFailed: boolean;
}

/** A topic of which messages are parked. */
export class ParkedTopic {
  readonly id: number;
  readonly name: string;
  readonly lag: Lag;
  readonly backlog: Backlog;
  /** Everything before it left the outbox. */
  swept = 0;
  /** Parked while they were with the ordinary producer, and without a verdict of it. */
  readonly onTheWay = new Set<number>();
  /** Confirmed by the ordinary producer all the same; to be taken out of the log. */
  readonly delivered = new Set<number>();
  chunk: ParkedChunk | undefined;
  /** Where its log is read on: what is before was delivered, or is with the producer. */
  from = 0;
  /** Entries of the next chunk at most; one, until that shows whether the topic takes any. */
  chunkMax = 1;
  retryAtMs = 0;
  /** A message that was refused once, where a refusal counts only when it comes again. */
  struck = 0;
  isGivenUp = false;

  constructor(id: number, name: string, lag: Lag, backlog: Backlog) {
    this.id = id;
    this.name = name;
    this.lag = lag;
    this.backlog = backlog;
  }
}
