import { DELAY_ID_BYTES } from '../../protocol/src/delay-id.ts';
import type { ConsumerBackend } from '../backend/consumer-port.ts';
import type { PartitionOffsets } from '../backend/port.ts';
import type { Clock } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Seldom } from '../base/seldom.ts';
import { tombstone } from './delay-record.ts';
import { delayTopic } from './delay-topic.ts';
import type { DelayWrites } from './delay-writes.ts';

/** What a {@link LogEnds} is made of. */
export interface LogEndsParts {
  readonly consumers: ConsumerBackend;
  readonly writes: DelayWrites;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A partition of the log whose end is to be reached. */
export interface EndToReach {
  readonly partition: number;
  /** How far it was applied; undefined: its end was reached, or it is another's. */
  applied(): number | undefined;
}

const ASK_AGAIN_MS = 1_000;
const NUDGE_MS = 3_000;
const SAY_MS = 10_000;

/** Where partitions of the delay log begin and end, and that their ends are reached. */
export class LogEnds {
  readonly #parts: LogEndsParts;
  readonly #seldom: Seldom;

  constructor(parts: LogEndsParts) {
    this.#parts = parts;
    this.#seldom = new Seldom(parts.clock, SAY_MS);
  }

  /**
   * Tells `onTold` where a partition lies, unless `isWanted` is false before; asks until that is
   * known, each partition alone: one that nobody leads holds back no other.
   */
  ask(partition: number, isWanted: () => boolean, onTold: (span: PartitionOffsets) => void): void {
    const { consumers, clock } = this.#parts;
    if (!isWanted()) return;
    consumers.span({ topic: delayTopic, partition }).then(
      (span) => isWanted() && onTold(span),
      (error: unknown) => {
        if (!isWanted()) return;
        this.#say(partition, error, 'the delay log cannot be asked');
        clock.setTimer(() => this.ask(partition, isWanted, onTold), ASK_AGAIN_MS);
      },
    );
  }

  /**
   * What the cleaner took from the end of the log is never read, so that the end would never be
   * reached. Then a tombstone that ends nothing is written: the end is behind it.
   */
  reach(end: EndToReach): void {
    const { clock, writes } = this.#parts;
    const { partition } = end;
    const before = end.applied();
    if (before === undefined) return;
    clock.setTimer(() => {
      if (end.applied() === before) {
        const id = Buffer.alloc(DELAY_ID_BYTES);
        id[1] = partition;
        writes.write(tombstone(delayTopic, id)).catch((error: unknown) => {
          this.#say(partition, error, 'the end of the delay log is not reached');
        });
      }
      this.reach(end);
    }, NUDGE_MS);
  }

  /** Not of each partition: while a cluster is away all have the same to say. */
  #say(partition: number, error: unknown, words: string): void {
    const code = codeOf(error);
    if (!this.#seldom.isDue(`${code} ${words}`)) return;
    this.#parts.log.warn({ partition, code, message: messageOf(error) }, words);
  }
}
