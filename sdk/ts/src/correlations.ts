import type { Message } from './message.ts';

const FIRST_SLOTS = 1024;
const SLOTS_MAX = 65_536;
/** Ids of messages; control requests have the upper half. */
const ID_MAX = 0x7fff_ffff;

/**
 * Which message an answer means. Every writing of a message has a new id, so that an answer to an
 * earlier writing, made before the client went back, is known to be stale. Ids rise by one, hence a
 * ring; a message that waits very long while others pass it moves from the ring into a map.
 */
export class Correlations {
  private ring: (Message | undefined)[] = new Array(FIRST_SLOTS).fill(undefined);
  private readonly overflow = new Map<number, Message>();
  private nextId: number;

  /** `firstId` 1 to 2^31 − 1: where the ids begin. */
  constructor(firstId = 1) {
    this.nextId = firstId;
  }

  /** Gives the message its next id. */
  put(message: Message): void {
    const id = this.nextId;
    this.nextId = id === ID_MAX ? 1 : id + 1;
    let slot = id & (this.ring.length - 1);
    while (this.ring[slot] !== undefined && this.ring.length < SLOTS_MAX) {
      this.grow();
      slot = id & (this.ring.length - 1);
    }
    const held = this.ring[slot];
    if (held !== undefined) this.overflow.set(held.correlationId, held);
    message.correlationId = id;
    this.ring[slot] = message;
  }

  /** The message that this id means, which is forgotten; undefined for a stale answer. */
  take(id: number): Message | undefined {
    const slot = id & (this.ring.length - 1);
    const message = this.ring[slot];
    if (message !== undefined && message.correlationId === id) {
      this.ring[slot] = undefined;
      return message;
    }
    if (this.overflow.size === 0) return undefined;
    const late = this.overflow.get(id);
    if (late !== undefined) this.overflow.delete(id);
    return late;
  }

  clear(): void {
    this.ring.fill(undefined);
    this.overflow.clear();
  }

  private grow(): void {
    const old = this.ring;
    this.ring = new Array(old.length * 2).fill(undefined);
    for (const message of old) {
      if (message === undefined) continue;
      this.ring[message.correlationId & (this.ring.length - 1)] = message;
    }
  }
}
