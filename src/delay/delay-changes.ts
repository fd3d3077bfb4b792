import { ownerWords } from '../../protocol/src/owner-words.ts';
import type { Clock } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import type { DelayCluster } from './delay-cluster.ts';
import type { DelayPlace } from './delay-index.ts';
import { type DelayRecord, type NewDelayRecord, readDelayRecord } from './delay-record.ts';
import type { FarDelay } from './due-loop.ts';
import { hasFired, isTooLate, type NearDelay } from './due-window.ts';
import { isSeriesId } from './series-record.ts';

/** Longest wait for a cluster to say what is in the log, in ms. */
const ASK_MS = 3_000;

/** `tooLate`: it is being published. `busy`: another command for it is on its way. */
export type NotHeld = 'tooLate' | 'notFound' | 'busy';

/** What the index said of a message, when its partition was applied up to `upTo`. */
interface Found extends DelayPlace {
  readonly id: Buffer;
  readonly upTo: number | undefined;
  readonly record?: DelayRecord;
}

/** Where a message stands, and its record. */
export type Standing = DelayPlace & Pick<NearDelay, 'bytes'>;

/**
 * How commands find and change what waits: only their owner does, and what is being changed is held
 * so that it cannot fire.
 */
export class DelayChanges {
  readonly #cluster: DelayCluster;
  readonly #clock: Clock;

  constructor(cluster: DelayCluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /** Whether it waits and is this node's. */
  isPending(id: Buffer): boolean {
    return this.#cluster.isOwn(id[1] as number) && !this.#hasEnded(id);
  }

  /**
   * What waits under an id; for what is not known the log is read to its end first.
   * @throws RETRY_LATER while its partition is being read, NOT_OWNER when it is another node's,
   * BACKEND_UNAVAILABLE when the cluster does not say within three seconds what is in the log
   */
  async find(id: Buffer): Promise<DelayRecord | undefined> {
    return (await this.#lookUp(id, 'record'))?.record;
  }

  /**
   * Keeps a message from firing, so that it can be changed.
   * @param needs one that is far is a look-up less where its record is not needed; it has no bytes
   * @throws as find
   */
  async hold(id: Buffer, needs: 'record' | 'place' = 'record'): Promise<NearDelay | NotHeld> {
    const { loop } = this.#cluster;
    const before = loop.window.find(id);
    const found = before === undefined ? await this.#lookUp(id, needs) : undefined;
    if (!this.#isReady(id)) throw await this.#refusal(id);
    const near = loop.window.find(id);
    if (near === undefined) return found === undefined ? 'notFound' : loop.hold(this.#far(found));
    if (isTooLate(near)) return 'tooLate';
    if (near.state === 'held') return 'busy';
    loop.window.hold(near);
    return near;
  }

  /** Nothing is in a partition of the log. @throws BACKEND_UNAVAILABLE as find */
  isEmpty(partition: number): Promise<boolean> {
    return this.#inTime(this.#cluster.isEmpty(partition));
  }

  /** It waits as before. */
  release(held: NearDelay): void {
    this.#cluster.loop.release(held);
  }

  /**
   * Writes what is held anew, or something new; done when it was applied, which is not to say that
   * it stands: see {@link standing}.
   * @throws BACKEND_UNAVAILABLE; RETRY_LATER when its partition was lost meanwhile, if back or not
   */
  async write(record: NewDelayRecord): Promise<void> {
    const own = this.#cluster.ownOf(record.partition);
    const { partition, offset } = await this.#cluster.writes.write(record);
    if (offset >= 0) await this.#cluster.untilApplied(partition, offset + 1);
    else await this.#cluster.caughtUp(partition, (asked) => this.#inTime(asked));
    // Whoever had it since may have begun before this came into the log, and may have fired it.
    if (own === undefined || this.#cluster.ownOf(partition) !== own) {
      throw coded('RETRY_LATER', 'its partition of the delay log was lost meanwhile');
    }
  }

  /** What stands under the id of what is held, by all that was applied; undefined: nothing. */
  async standing(held: NearDelay): Promise<Standing | undefined> {
    // It is told all that is applied from the hold on.
    if (held.isIndexed && this.#cluster.loop.window.holds(held)) return held;
    const found = await this.#indexed(held.id, 'record');
    return found?.record && { ...found, bytes: found.record.bytes };
  }

  #inTime<T>(asked: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => {
        reject(coded('BACKEND_UNAVAILABLE', 'the cluster does not say what is in its delay log'));
      };
      const timer = this.#clock.setTimer(late, ASK_MS);
      asked.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #isReady(id: Buffer): boolean {
    this.#cluster.mustStand();
    return this.#cluster.isReady(id[1] as number);
  }

  async #refusal(id: Buffer): Promise<Error> {
    const partition = id[1] as number;
    const reading = coded('RETRY_LATER', 'the delay log is still being read');
    if (this.#cluster.isGiven(partition)) return reading;
    const owner = await this.#cluster.owners.find(partition);
    // It is about to be told so.
    if (owner === this.#cluster.nodeId) return reading;
    return coded('NOT_OWNER', ownerWords(owner));
  }

  async #lookUp(id: Buffer, needs: 'record' | 'place'): Promise<Found | undefined> {
    if (!this.#isReady(id)) throw await this.#refusal(id);
    const first = await this.#indexed(id, needs);
    if (first !== undefined) return first;
    await this.#cluster.caughtUp(id[1] as number, (asked) => this.#inTime(asked));
    // It may have been lost meanwhile: then nobody read to the end.
    if (!this.#isReady(id)) throw await this.#refusal(id);
    return this.#indexed(id, needs);
  }

  async #indexed(id: Buffer, needs: 'record' | 'place'): Promise<Found | undefined> {
    if (this.#hasEnded(id)) return undefined;
    const { index } = this.#cluster;
    const upTo = this.#cluster.appliedUpTo(id[1] as number);
    const place = await index.find(id);
    if (place === undefined) return undefined;
    if (needs === 'place') return { id, ...place, upTo };
    const bytes = await index.record(id, place.dueMs);
    const record = bytes === undefined ? undefined : readDelayRecord(bytes);
    return record === undefined ? undefined : { id, ...place, upTo, record };
  }

  /** What is applied from now on is told to what is held; what was since the look-up is not. */
  #far({ id, dueMs, offset, upTo, record }: Found): FarDelay {
    const isIndexed = upTo === this.#cluster.appliedUpTo(id[1] as number);
    return {
      id,
      dueMs,
      offset,
      isIndexed,
      ...(record === undefined ? {} : { bytes: record.bytes }),
    };
  }

  /** It fired, and is still in the index. A series goes on. */
  #hasEnded(id: Buffer): boolean {
    return !isSeriesId(id) && hasFired(this.#cluster.loop.window.find(id));
  }
}
