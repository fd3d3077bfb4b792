import type { DeadFilter, RedriveProgress } from '../../../protocol/src/dead-letters.ts';
import { encodeTailHeaders } from '../../../protocol/src/message-headers.ts';
import { encodeMqHeader, MQ_HEADER_NAME } from '../../../protocol/src/mq-header.ts';
import type { Publisher, PublishRecord } from '../../backend/publisher-port.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { coded, messageOf } from '../../base/errors.ts';
import { redriveIdOf, userHeaders } from '../retry/dead-record.ts';
import { matches } from './letter-filter.ts';
import type { LetterMarks } from './letter-marks.ts';
import type { Letter, LetterPage, LetterWalk } from './letter-walk.ts';

/** Letters between two marks: what a crash may put back a second time, with the same id. */
const BATCH_MAX = 500;
/** Bytes of one publish. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/** How often a record that may pass later is published, and the waits between, in ms. */
const TRIES = 10;
const RETRY_MS = 500;
/** Batches a second when a rate is given. */
const BATCHES_A_SECOND = 10;

/** One cluster's dead letters, opened for a job. */
export interface RedriveSide {
  readonly walk: LetterWalk;
  readonly marks: LetterMarks;
  readonly publisher: Publisher;
}

export interface RedriveOptions {
  readonly job: string;
  readonly sides: readonly RedriveSide[];
  readonly filter: DeadFilter;
  /** Letters a second; undefined: as fast as they are taken. */
  readonly ratePerSecond: number | undefined;
  readonly limit: number | undefined;
  readonly nodeId: bigint;
  readonly clock: Clock;
}

/**
 * Puts dead letters back into the topic they came from, with new attempts: published, then marked,
 * a batch at a time. It never rejects; what ended it is in its progress.
 */
export class RedriveJob {
  readonly #options: RedriveOptions;
  readonly #startMs: number;
  #state: 'running' | 'done' | 'failed' = 'running';
  #scanned = 0;
  #matched = 0;
  #moved = 0;
  #error: string | undefined;
  #isStopped = false;

  constructor(options: RedriveOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonic();
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  progress(): RedriveProgress {
    return {
      job: this.#options.job,
      state: this.#state,
      scanned: this.#scanned,
      matched: this.#matched,
      moved: this.#moved,
      error: this.#error,
    };
  }

  /** Ends after the batch under way. What is not put back stays a dead letter. */
  stop(): void {
    this.#isStopped = true;
  }

  async run(): Promise<void> {
    try {
      for (const side of this.#options.sides) await this.#side(side);
      this.#state = 'done';
    } catch (error) {
      this.#state = 'failed';
      this.#error = messageOf(error);
    }
  }

  async #side(side: RedriveSide): Promise<void> {
    await side.marks.ensure();
    for (let page = await side.walk.next(); page !== undefined; page = await side.walk.next()) {
      this.#scanned += page.scanned;
      await this.#page(side, page);
      if (this.#left() === 0) return;
    }
  }

  async #page(side: RedriveSide, page: LetterPage): Promise<void> {
    for (const offset of page.copies) side.marks.add(page.partition, offset);
    const found = page.letters.filter((letter) => matches(this.#options.filter, letter));
    const letters = found.slice(0, this.#left());
    this.#matched += letters.length;
    for (let at = 0; at < letters.length; ) {
      if (this.#isStopped) throw coded('DRAINING', 'the node stopped; begin again to go on');
      const batch = this.#batchAt(letters, at);
      await this.#put(side, batch);
      at += batch.length;
    }
    await side.marks.save();
  }

  #left(): number {
    return (this.#options.limit ?? Number.POSITIVE_INFINITY) - this.#matched;
  }

  #batchAt(letters: readonly Letter[], at: number): Letter[] {
    const { ratePerSecond = Number.POSITIVE_INFINITY } = this.#options;
    const most = Math.min(BATCH_MAX, Math.max(1, Math.ceil(ratePerSecond / BATCHES_A_SECOND)));
    const batch: Letter[] = [];
    let bytes = 0;
    for (const letter of letters.slice(at, at + most)) {
      bytes += (letter.value?.length ?? 0) + (letter.key?.length ?? 0);
      if (batch.length > 0 && bytes > BATCH_BYTES_MAX) break;
      batch.push(letter);
    }
    return batch;
  }

  async #put(side: RedriveSide, letters: readonly Letter[]): Promise<void> {
    let waiting = letters;
    let fault: { code: string; message: string } | undefined;
    for (let attempt = 1; waiting.length > 0; attempt++) {
      const results = await side.publisher.publish(waiting.map((letter) => this.#record(letter)));
      const again: Letter[] = [];
      waiting.forEach((letter, i) => {
        const result = results[i];
        if (result !== undefined && !('code' in result)) this.#settled(side, letter);
        else {
          if (result?.retriable !== false) again.push(letter);
          else fault = result;
          fault ??= attempt < TRIES ? undefined : result;
        }
      });
      if (fault !== undefined) break;
      waiting = again;
      if (waiting.length > 0) await sleep(this.#options.clock, RETRY_MS);
    }
    // Also when some were refused: those that passed must not be put back again.
    await side.marks.save();
    if (fault !== undefined) throw coded(fault.code, `${letters[0]?.dead.topic}: ${fault.message}`);
    await this.#pace();
  }

  #settled(side: RedriveSide, letter: Letter): void {
    side.marks.add(letter.partition, letter.offset);
    side.walk.deal(letter);
    this.#moved += 1;
  }

  /** Waits until the rate allows what was moved so far. */
  async #pace(): Promise<void> {
    const { ratePerSecond, clock } = this.#options;
    if (ratePerSecond === undefined) return;
    const dueMs = this.#startMs + (this.#moved * 1000) / ratePerSecond;
    const waitMs = dueMs - clock.monotonic();
    if (waitMs > 0) await sleep(clock, waitMs);
  }

  #record({ dead, key, value, headers }: Letter): PublishRecord {
    const { nodeId, clock } = this.#options;
    const mq = encodeMqHeader({
      ...redriveIdOf(dead),
      originNode: nodeId,
      acceptedMs: clock.now(),
    });
    return {
      topic: dead.topic,
      key,
      value,
      headers: encodeTailHeaders([...userHeaders(headers), { name: MQ_HEADER_NAME, value: mq }]),
    };
  }
}
