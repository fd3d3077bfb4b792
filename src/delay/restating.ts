import type { PublishRecord } from '../backend/publisher-port.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Seldom } from '../base/seldom.ts';
import type { DelayIndex } from './delay-index.ts';
import {
  delayRecord,
  dueOf,
  movedTarget,
  nameOf,
  readDelayRecord,
  tombstone,
} from './delay-record.ts';
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
  /** Offset -1: the log has it, and does not say where. */
  write(record: PublishRecord): Promise<{ partition: number; offset: number }>;
  untilApplied(partition: number, offset: number): Promise<void>;
  /** Until all that is in the log now was applied. @throws as the cluster that is asked */
  caughtUp(partition: number): Promise<void>;
  /** It was applied, or is not needed any more; once for each effect. */
  onDone(id: Buffer): void;
}

const AGAIN_MS = 1_000;
const SAY_MS = 10_000;

/** Of one message: what is to be written again. */
interface Again {
  /** All that came so far, as one. */
  effect: RestateEffect;
  /** So many they are. */
  count: number;
}

/**
 * Writes what stands again, so that it is the newest record of its key: once for all that came
 * meanwhile, since what is written by one would be what the next one finds in its place.
 */
export class Restating {
  readonly #hooks: RestatingHooks;
  readonly #seldom: Seldom;
  /** By the names of their ids. */
  readonly #underWay = new Map<string, Again>();

  constructor(hooks: RestatingHooks) {
    this.#hooks = hooks;
    this.#seldom = new Seldom(hooks.clock, SAY_MS);
  }

  /** Until it is written, or another node's. @throws RETRY_LATER when the index fails */
  async restate(effect: RestateEffect): Promise<void> {
    const { id } = effect;
    const name = nameOf(id);
    const before = this.#underWay.get(name);
    if (before !== undefined) {
      before.effect = { ...before.effect, ...effect };
      before.count++;
      return;
    }
    const again = { effect, count: 1 };
    this.#underWay.set(name, again);
    await this.#write(again).finally(() => this.#underWay.delete(name));
    for (let i = 0; i < again.count; i++) this.#hooks.onDone(id);
  }

  async #write(again: Again): Promise<void> {
    const { clock, log, isOwn, isFiring, write, untilApplied, caughtUp } = this.#hooks;
    while (isOwn(again.effect.id)) {
      const { effect } = again;
      // Its end would meet what was written, and that would fire again; the end comes later anyway.
      if (isFiring(effect.id)) {
        await sleep(clock, AGAIN_MS);
        continue;
      }
      const record = await this.#record(effect);
      if (record === undefined && again.effect === effect) return;
      if (record === undefined) continue;
      try {
        const { partition, offset } = await write(record);
        if (offset >= 0) await untilApplied(partition, offset + 1);
        else await caughtUp(partition);
        // Wherever it is, it lies behind what was known when it was written.
        if (again.effect === effect || again.effect.upTo < offset) return;
      } catch (error) {
        const reason = { code: codeOf(error), message: messageOf(error) };
        if (this.#seldom.isDue(reason.code)) log.warn(reason, 'delayed messages are written again');
        await sleep(clock, AGAIN_MS);
      }
    }
  }

  /** Undefined: there is nothing to write, or what stands is the newest of its key. */
  async #record({ id, upTo, over }: RestateEffect): Promise<PublishRecord | undefined> {
    const { index } = this.#hooks;
    const place = await index.find(id);
    if (place === undefined) return over && tombstone(delayTopic, id, over);
    if (place.offset > upTo) return undefined;
    const bytes = await index.record(id, place.dueMs);
    const record = bytes === undefined ? undefined : readDelayRecord(bytes);
    if (record?.target === undefined) return undefined;
    // It may be replaced or end meanwhile, and must not come back.
    const target = isSeriesId(id)
      ? record.target
      : movedTarget(record.target, dueOf(record.target));
    return delayRecord(delayTopic, record, target, { offset: upTo, dueMs: place.dueMs });
  }
}
