import type { PublishRecord } from '../backend/publisher-port.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { DelayIndex } from './delay-index.ts';
import { delayRecord, dueOf, movedTarget, readDelayRecord, tombstone } from './delay-record.ts';
import { delayTopic } from './delay-topic.ts';
import type { LogEffect } from './log-applier.ts';
import { isSeriesId } from './series-record.ts';

/** What must be written again. */
export type RestateEffect = Extract<LogEffect, { kind: 'restate' }>;

/** What {@link Restating} asks of the cluster. */
export interface RestatingHooks {
  readonly index: DelayIndex;
  readonly clock: Clock;
  readonly log: Logger;
  /** Its partition is this node's. */
  isOwn(id: Buffer): boolean;
  /** It fires, or fired and that is not applied yet. */
  isFiring(id: Buffer): boolean;
  write(record: PublishRecord): Promise<{ partition: number; offset: number }>;
  untilApplied(partition: number, offset: number): Promise<void>;
  /** It was applied, or is not needed any more. */
  onDone(id: Buffer): void;
}

const AGAIN_MS = 1_000;

/** Writes what stands again, so that it is the newest record of its key. */
export class Restating {
  readonly #hooks: RestatingHooks;

  constructor(hooks: RestatingHooks) {
    this.#hooks = hooks;
  }

  /** Until it is written, or another node's. @throws RETRY_LATER when the index fails */
  async restate(effect: RestateEffect): Promise<void> {
    const { clock, log, isOwn, isFiring, write, untilApplied, onDone } = this.#hooks;
    while (isOwn(effect.id)) {
      // Its end would meet what was written, and that would fire again; the end comes later anyway.
      if (isFiring(effect.id)) {
        await sleep(clock, AGAIN_MS);
        continue;
      }
      const again = await this.#record(effect);
      if (again === undefined) break;
      try {
        const { partition, offset } = await write(again);
        await untilApplied(partition, offset + 1);
        break;
      } catch (error) {
        log.warn({ message: messageOf(error) }, 'a delayed message is written again');
        await sleep(clock, AGAIN_MS);
      }
    }
    onDone(effect.id);
  }

  async #record({ id, upTo, over }: RestateEffect): Promise<PublishRecord | undefined> {
    const { index } = this.#hooks;
    const place = await index.find(id);
    if (place === undefined) return over && tombstone(delayTopic, id, over);
    const bytes = await index.record(id, place.dueMs);
    const record = bytes === undefined ? undefined : readDelayRecord(bytes);
    if (record?.target === undefined) return undefined;
    // It may be replaced or end meanwhile, and must not come back.
    const target = isSeriesId(id)
      ? record.target
      : movedTarget(record.target, dueOf(record.target));
    const ends = { offset: Math.max(place.offset, upTo), dueMs: place.dueMs };
    return delayRecord(delayTopic, record, target, ends);
  }
}
