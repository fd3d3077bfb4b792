import { type Clock, sleep, type Timer } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import {
  KAFKA_CODE,
  type KafkaTail,
  type TailRequest,
  type TailResult,
} from '../../native/kafka.ts';
import { kafkaCodeOf } from './kafka-errors.ts';

/** What a {@link TailPool} needs. */
export interface TailPoolOptions {
  /** Makes a reader; each is a consumer of its own, with threads and connections. */
  readonly make: () => KafkaTail;
  readonly clock: Clock;
  /** Readers at most; default 2. */
  readonly readersMax?: number;
  /** Reads that are under way at once; default 1,024. */
  readonly readsMax?: number;
  /** A reader without a read for so long is closed, in ms; default 30,000. */
  readonly idleMs?: number;
}

/** LEADER_NOT_AVAILABLE and NOT_LEADER_FOR_PARTITION. */
const LEADER_CODES: readonly number[] = [5, 6];
/** How often a leader is asked for again, and after how long, in ms. */
const LEADER_TRIES = 10;
const LEADER_MS = 100;

/**
 * What a reader says of its own accord: its memory of the cluster lacks the partition, which its
 * owner knows to be there. It may do so for minutes after a cluster was away, while one that is new
 * reads on.
 */
const LACKING: readonly number[] = [KAFKA_CODE._UNKNOWN_PARTITION, KAFKA_CODE._UNKNOWN_TOPIC];
/** A reader that is younger, in ms, has asked only just now. */
const LACKING_FROM_MS = 2_000;
/** Where a new one brings no more either, the wait for the next doubles up to this, in ms. */
const MISSING_FROM_MS_MAX = 60_000;
/** Places that one reader is told to have missed, at most: of some nobody asks again. */
const MISSED_MAX = 1_000;

interface Slot {
  readonly reader: KafkaTail;
  /** Monotonic. */
  readonly openedMs: number;
  reads: number;
  timer: Timer | undefined;
  /** Records that are there and that it did not bring when it was asked last, by their places. */
  readonly missed: Set<string>;
}

/**
 * A few native readers for all tails. A partition is always read by the same one, which keeps its
 * place in the log between two reads.
 */
export class TailPool {
  readonly #options: TailPoolOptions;
  readonly #slots = new Map<number, Slot>();
  /** Of which reads are still under way. */
  readonly #replaced = new Set<Slot>();
  readonly #closing = new Set<Promise<void>>();
  /** How old a reader must be that is replaced for what it missed. */
  #missingFromMs = LACKING_FROM_MS;
  #reads = 0;
  #closed = false;

  constructor(options: TailPoolOptions) {
    this.#options = options;
  }

  /** Readers that are open. */
  get readers(): number {
    return this.#slots.size;
  }

  /**
   * @param isThere the record at the offset was seen: a reader that brings nothing of it twice in
   * a row is replaced, since it may stay so without a word
   */
  read(request: TailRequest, isThere = false): Promise<TailResult> {
    return this.#use(request, async (slot, number) => {
      const result = await slot.reader.read(request);
      if (isThere) this.#judge(number, slot, request, result);
      return result;
    });
  }

  /**
   * Start and end of one partition, asked from its leader. A leader that has just begun, or moved,
   * is asked for again: a second at most.
   */
  async offsets(options: Parameters<KafkaTail['offsets']>[0]): ReturnType<KafkaTail['offsets']> {
    for (let left = LEADER_TRIES; ; left--) {
      try {
        return await this.#use(options, ({ reader }) => reader.offsets(options));
      } catch (error) {
        if (left === 0 || !LEADER_CODES.includes(kafkaCodeOf(error) ?? 0)) throw error;
        await sleep(this.#options.clock, LEADER_MS);
      }
    }
  }

  /** Ends every reader; reads that wait are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const number of [...this.#slots.keys()]) this.#end(number);
    for (const slot of this.#replaced) this.#close(slot);
    this.#replaced.clear();
    await Promise.all(this.#closing);
  }

  async #use<T>(
    place: { readonly topic: string; readonly partition: number },
    task: (slot: Slot, number: number) => Promise<T>,
  ): Promise<T> {
    const { readersMax = 2, readsMax = 1_024, idleMs = 30_000 } = this.#options;
    if (this.#closed) throw coded('BACKEND_UNAVAILABLE', 'reading from Kafka has ended');
    if (this.#reads >= readsMax) {
      throw coded('RETRY_LATER', `${readsMax} reads are under way already`, { retryAfterMs: 1000 });
    }
    const number = slotOf(place.topic, place.partition) % readersMax;
    const slot = this.#slots.get(number) ?? this.#open(number);
    slot.timer?.cancel();
    slot.reads += 1;
    this.#reads += 1;
    try {
      return await task(slot, number);
    } catch (error) {
      if (LACKING.includes(kafkaCodeOf(error) ?? 0)) this.#replace(number, slot);
      throw error;
    } finally {
      slot.reads -= 1;
      this.#reads -= 1;
      const isCurrent = this.#slots.get(number) === slot;
      if (slot.reads === 0 && isCurrent) {
        slot.timer = this.#options.clock.setTimer(() => this.#end(number), idleMs);
      } else if (slot.reads === 0 && this.#replaced.delete(slot)) {
        this.#close(slot);
      }
    }
  }

  #judge(number: number, slot: Slot, request: TailRequest, result: TailResult): void {
    const { topic, partition, position } = request;
    const { count, startOffset, nextOffset } = result;
    const place = `${topic}/${partition}/${position}`;
    const isMissed = count === 0 && startOffset <= position && nextOffset <= position;
    if (count > 0) this.#missingFromMs = LACKING_FROM_MS;
    if (!isMissed) slot.missed.delete(place);
    else if (!slot.missed.has(place)) {
      if (slot.missed.size >= MISSED_MAX) slot.missed.clear();
      slot.missed.add(place);
    } else if (this.#replace(number, slot, this.#missingFromMs)) {
      this.#missingFromMs = Math.min(2 * this.#missingFromMs, MISSING_FROM_MS_MAX);
    }
  }

  /** The next read opens another reader; those that are under way end with this one. */
  #replace(number: number, slot: Slot, fromMs = LACKING_FROM_MS): boolean {
    const ageMs = this.#options.clock.monotonic() - slot.openedMs;
    if (this.#slots.get(number) !== slot || ageMs < fromMs) return false;
    this.#slots.delete(number);
    this.#replaced.add(slot);
    return true;
  }

  #open(number: number): Slot {
    const { make, clock } = this.#options;
    const openedMs = clock.monotonic();
    const slot = {
      reader: make(),
      openedMs,
      reads: 0,
      timer: undefined,
      missed: new Set<string>(),
    };
    this.#slots.set(number, slot);
    return slot;
  }

  #end(number: number): void {
    const slot = this.#slots.get(number);
    if (slot === undefined) return;
    slot.timer?.cancel();
    this.#slots.delete(number);
    this.#close(slot);
  }

  #close({ reader }: Slot): void {
    const closing: Promise<void> = reader
      .close()
      .catch(() => undefined)
      .finally(() => {
        this.#closing.delete(closing);
      });
    this.#closing.add(closing);
  }
}

function slotOf(topic: string, partition: number): number {
  let hash = partition;
  for (let i = 0; i < topic.length; i++) hash = (Math.imul(hash, 31) + topic.charCodeAt(i)) >>> 0;
  return hash;
}
