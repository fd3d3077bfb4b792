import { ErrorCode } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import type { Subscribe } from '../../protocol/src/subscribe.ts';
import { limits } from '../base/limits.ts';
import type { ConsumeGroup } from './group.ts';
import { type Receiver, Subscription } from './partition/subscription.ts';

/** What a subscription has that says nothing itself. */
const CREDIT_MESSAGES = 256;
const CREDIT_BYTES = 8 * 1024 * 1024;
const LEASE_MS = 30_000;

/** All subscriptions of a node: by connection, and by the slot that the lease table knows. */
export class SubscriptionBook {
  readonly #slots: (Subscription | undefined)[] = [undefined];
  readonly #freeSlots: number[] = [];
  readonly #groups = new Map<Subscription, ConsumeGroup>();
  readonly #byReceiver = new Map<number, Map<number, Subscription>>();
  #nextId = 0;

  /** @throws ProtocolError when the connection or the node has too many */
  checkRoom(receiver: Receiver): void {
    const own = this.#byReceiver.get(receiver.id)?.size ?? 0;
    if (own >= limits.subscriptionsPerConnectionMax) {
      const words = `a connection has at most ${limits.subscriptionsPerConnectionMax} subscriptions`;
      throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, words);
    }
    if (this.#freeSlots.length === 0 && this.#slots.length > limits.subscriptionsMax) {
      throw new ProtocolError(ErrorCode.TOO_MANY_GROUPS, 'this node has too many subscriptions');
    }
  }

  /** Makes a subscription; `checkRoom` has passed. */
  add(receiver: Receiver, asked: Subscribe, group: ConsumeGroup): Subscription {
    const slot = this.#freeSlots.pop() ?? this.#slots.length;
    this.#nextId = this.#nextId === 0xffff_ffff ? 1 : this.#nextId + 1;
    const sub = new Subscription({
      id: this.#nextId,
      slot,
      receiver,
      group: group.name,
      topics: asked.topics,
      prefix: asked.prefix ?? '',
      creditMessages: asked.creditMessages ?? CREDIT_MESSAGES,
      creditBytes: asked.creditBytes ?? CREDIT_BYTES,
      leaseMs: asked.leaseMs ?? LEASE_MS,
    });
    this.#slots[slot] = sub;
    const own = this.#byReceiver.get(receiver.id) ?? new Map<number, Subscription>();
    own.set(sub.id, sub);
    this.#byReceiver.set(receiver.id, own);
    this.#groups.set(sub, group);
    return sub;
  }

  /** Nothing is leased under its slot any more. */
  remove(sub: Subscription): void {
    this.#groups.delete(sub);
    this.#slots[sub.slot] = undefined;
    this.#freeSlots.push(sub.slot);
    const own = this.#byReceiver.get(sub.receiver.id);
    own?.delete(sub.id);
    if (own?.size === 0) this.#byReceiver.delete(sub.receiver.id);
  }

  /** @throws UNKNOWN_SUBSCRIPTION */
  get(receiverId: number, id: number): Subscription {
    const sub = this.#byReceiver.get(receiverId)?.get(id);
    if (sub !== undefined) return sub;
    const words = `subscription ${id} is not known on this connection`;
    throw new ProtocolError(ErrorCode.UNKNOWN_SUBSCRIPTION, words);
  }

  groupOf(sub: Subscription): ConsumeGroup {
    return this.#groups.get(sub) as ConsumeGroup;
  }

  /** Those of one connection, owned. */
  of(receiverId: number): Subscription[] {
    return [...(this.#byReceiver.get(receiverId)?.values() ?? [])];
  }

  /** Messages of a slot's subscription are settled, by itself at `nowMs`, or no longer its own. */
  settled(slot: number, count: number, nowMs?: number): void {
    const sub = this.#slots[slot];
    if (sub === undefined) return;
    if (nowMs !== undefined) sub.activeMs = nowMs;
    sub.gave(count);
  }
}
