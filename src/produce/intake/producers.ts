import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { BatchHeader } from '../../store/batch-header.ts';
import { NOBODY, SEGMENT_PASSED, SEGMENT_UNORDERED } from '../../store/batch-header.ts';
import type { WindowPut } from '../../store/lane-store.ts';
import { DedupeWindow } from './dedupe-window.ts';
import { ProducerSession } from './producer-session.ts';

/** Between two looks at the windows' memory when it could be too much, in ms. */
const CROWDED_LOOK_MS = 1_000;

/** A connection as a lane sees it. */
export interface LaneSession {
  readonly session: number;
  readonly producer: ProducerSession;
  readonly ordered: boolean;
  /** A newer connection of the same producer took over: nothing of this one is taken any more. */
  fenced: boolean;
}

/** What HELLO says to a lane. */
export interface OpenSession {
  readonly session: number;
  readonly producerId: bigint;
  readonly epoch: number;
  readonly ordered: boolean;
  /** The name of the token that the connection showed. */
  readonly owner: string;
}

/** What the lane says to HELLO. */
export interface OpenedSession {
  /**
   * Not bound: `fenced`, since a newer epoch of this producer is known; `foreign`, since the
   * producer is another token's.
   */
  readonly refused?: 'fenced' | 'foreign';
  /** Highest sequence known of this producer and epoch; 0 when none. */
  readonly lastSequence: number;
  /** The connection that this one replaces, if any. */
  readonly replaces: number | undefined;
}

/**
 * The producers a lane knows, and the connections that speak for them. The newest connection of
 * a producer id speaks for it; the one before is fenced.
 */
export class Producers {
  private readonly clock: Clock;
  private readonly producers = new Map<bigint, ProducerSession>();
  private readonly sessions = new Map<number, LaneSession>();
  private readonly speaker = new Map<bigint, number>();
  /** Those that left since the last checkpoint, and whose window is stored. */
  private readonly dropped: bigint[] = [];
  private evictAtMs = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get count(): number {
    return this.producers.size;
  }

  /** Connections that are bound to a producer here. */
  get sessionCount(): number {
    return this.sessions.size;
  }

  /** Takes over the connections of a lane whose store was opened again. */
  adopt(before: Producers): void {
    for (const [id, { owner }] of before.producers) {
      const now = this.producers.get(id);
      if (now !== undefined) now.owner = owner;
    }
    for (const old of before.sessions.values()) {
      const { session, ordered, producer } = old;
      const { producerId, epoch, owner = '' } = producer;
      const { refused } = this.bind({ session, producerId, epoch, ordered, owner });
      const now = refused === undefined ? this.sessions.get(session) : undefined;
      if (now === undefined) {
        this.sessions.set(session, { ...old, fenced: true });
        continue;
      }
      now.fenced = old.fenced;
      now.producer.follow(producer);
    }
  }

  /**
   * Binds a connection to its producer, or says that it is fenced. Others may leave for it: who
   * connects need not send anything.
   */
  open(request: OpenSession): OpenedSession {
    const opened = this.bind(request);
    this.evict();
    return opened;
  }

  private bind(request: OpenSession): OpenedSession {
    const { producerId, epoch, owner } = request;
    let producer = this.producers.get(producerId);
    // Ids stand in every message: whoever reads one could speak for its producer.
    if (producer?.owner !== undefined && producer.owner !== owner) return unbound('foreign');
    if (producer !== undefined && epoch < producer.epoch) return unbound('fenced');
    if (producer === undefined || epoch > producer.epoch) {
      producer = this.begin(producerId, epoch, producer);
      producer.dirty = true;
    }
    producer.owner = owner;
    producer.lastUsedMs = this.clock.monotonic();
    const before = this.speaker.get(producerId);
    const older = before === undefined ? undefined : this.sessions.get(before);
    if (older !== undefined) older.fenced = true;
    this.speaker.set(producerId, request.session);
    const { session, ordered } = request;
    this.sessions.set(session, { session, producer, ordered, fenced: false });
    return { lastSequence: producer.window.highest, replaces: older?.session };
  }

  close(session: number): void {
    const open = this.sessions.get(session);
    this.sessions.delete(session);
    if (open === undefined) return;
    open.producer.lastUsedMs = this.clock.monotonic();
    const id = open.producer.producerId;
    if (this.speaker.get(id) === session) this.speaker.delete(id);
  }

  session(session: number): LaneSession | undefined {
    return this.sessions.get(session);
  }

  /** Puts back a window from a checkpoint. */
  restore(key: Buffer, value: Buffer): void {
    const id = key.readBigUInt64BE(0);
    const window = DedupeWindow.decode(value.subarray(2));
    const producer = new ProducerSession(id, value.readUInt16BE(0), window);
    producer.isStored = true;
    producer.lastUsedMs = this.clock.monotonic();
    producer.forget();
    this.producers.set(id, producer);
  }

  /** Brings windows up to date with a batch that was stored after the checkpoint. Idempotent. */
  replay(header: BatchHeader): void {
    for (const segment of header.segments) {
      if (segment.producerId === NOBODY) continue;
      let producer = this.producers.get(segment.producerId);
      if (producer !== undefined && producer.epoch > segment.epoch) continue;
      if (producer === undefined || producer.epoch < segment.epoch) {
        producer = this.begin(segment.producerId, segment.epoch, producer);
        producer.lastUsedMs = this.clock.monotonic();
      }
      if ((segment.flags & SEGMENT_PASSED) !== 0) {
        producer.pass(segment.firstSequence, 1);
        producer.forget();
        continue;
      }
      const unordered = (segment.flags & SEGMENT_UNORDERED) !== 0;
      const known = segment.firstSequence + segment.count - 1 <= producer.window.highest;
      if (unordered || !known) producer.accept(segment.firstSequence, segment.count, !unordered);
      producer.forget();
    }
  }

  /** The windows that changed since the last call, and the keys of those that left. */
  checkpoint(): WindowPut[] {
    const puts: WindowPut[] = [];
    for (const id of this.dropped) puts.push({ key: keyOf(id), value: undefined });
    this.dropped.length = 0;
    for (const producer of this.producers.values()) {
      if (!producer.dirty) continue;
      producer.dirty = false;
      producer.isStored = true;
      const window = producer.window.encode();
      const value = Buffer.allocUnsafe(2 + window.length);
      value.writeUInt16BE(producer.epoch, 0);
      window.copy(value, 2);
      puts.push({ key: keyOf(producer.producerId), value });
    }
    return puts;
  }

  /**
   * Lets go of producers that nobody has been connected as for too long, or, when there are too
   * many, of those not connected that are known longest. A producer that is connected keeps its
   * window, but not its gaps when memory is short.
   */
  evict(): void {
    const now = this.clock.monotonic();
    const crowded = this.producers.size > limits.windowsMax;
    if (now < this.evictAtMs && !crowded) return;
    const many = this.producers.size * DedupeWindow.bitmapBytesMax > limits.windowBytesMax;
    this.evictAtMs = now + (many ? CROWDED_LOOK_MS : limits.windowIdleMs / 10);
    let bitmapBytes = 0;
    for (const [id, producer] of this.producers) {
      const isIdle = now - producer.lastUsedMs >= limits.windowIdleMs;
      const isSurplus = crowded && this.producers.size > limits.windowsMax * 0.9;
      if (!this.speaker.has(id) && (isIdle || isSurplus)) {
        this.producers.delete(id);
        if (producer.isStored) this.dropped.push(id);
        continue;
      }
      bitmapBytes += producer.window.bitmapBytes;
      if (bitmapBytes > limits.windowBytesMax) producer.window.forgetGaps();
    }
  }

  /** A producer, or a newer epoch of one, begins with an empty window. */
  private begin(id: bigint, epoch: number, before: ProducerSession | undefined): ProducerSession {
    const producer = new ProducerSession(id, epoch);
    producer.isStored = before?.isStored ?? false;
    producer.owner = before?.owner;
    this.producers.set(id, producer);
    return producer;
  }
}

function unbound(refused: 'fenced' | 'foreign'): OpenedSession {
  return { refused, lastSequence: 0, replaces: undefined };
}

function keyOf(producerId: bigint): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(producerId);
  return key;
}
