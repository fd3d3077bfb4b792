import assert from 'node:assert';
import type { Clock } from '../../base/clock.ts';
import type { Block } from '../lease/block.ts';
import {
  type Decision,
  type Failure,
  type FailureCause,
  IN_PLACE_MS_MAX,
  moveRetryMs,
} from '../lease/settle.ts';
import { NO_WAIT } from '../lease/window-state.ts';
import { Fifo } from './fifo.ts';
import type { ConsumePartition } from './partition.ts';

/** Messages of a partition whose first failure is remembered. */
const FIRST_FAILURES_MAX = 65_536;
/** Messages of a partition that are moved at once; the others wait for their turn. */
const MOVES_MAX = 1_024;

/** A message that failed and is not finished. */
export interface FailedRow {
  readonly offset: number;
  /** Deliveries so far. */
  readonly attempt: number;
  /** What is left of its wait, in ms. */
  readonly leftMs: number;
}

/** What {@link Failures} asks of the engine. */
export interface FailureHooks {
  readonly clock: Clock;
  readonly group: string;
  /** Messages of a subscription's slot are no longer out. */
  onReturned(slot: number, count: number): void;
  /** The whole record of a message; undefined when it is no longer in the log. */
  read(partition: ConsumePartition, offset: number): Promise<Buffer | undefined>;
  /** A message was settled without an ack, or is to be given out: look at the group again. */
  onChanged(partition: ConsumePartition): void;
  /** A message that is to be moved could not be read; of moves that fail the policy tells. */
  onUnread(error: unknown): void;
  /** A message of the partition comes again from the group's retry topic. */
  onPutOff(partition: ConsumePartition): void;
}

type Leaving = Extract<Decision, { kind: 'move' | 'putOff' }>;

interface Decided {
  readonly failure: Failure;
  readonly to: Leaving;
}

/** A move that failed. */
interface Failed {
  readonly failure: Failure;
  readonly atMs: number;
  /** It was decided: only its record has not come yet. */
  readonly to: Leaving | undefined;
}

/** What failed in one partition, and what its policy has decided. */
export class Failures {
  readonly #partition: ConsumePartition;
  readonly #hooks: FailureHooks;
  readonly #ownedSinceMs: number;
  readonly #first = new Map<number, number>();
  /** Leases of owners before that were refused before their messages were read again. */
  readonly #refused = new Map<number, Refusal>();
  /** Messages that wait for the budget of dead letters; the first of them asks for it. */
  readonly #waiting = new Fifo<Failure>();
  #askAtMs = 0;
  /** All wait as long, so the first is the next. */
  readonly #failed = new Fifo<Failed>();
  /** Decided, and not begun. */
  readonly #queue = new Fifo<Decided>();
  #moving = 0;

  constructor(partition: ConsumePartition, hooks: FailureHooks) {
    this.#partition = partition;
    this.#hooks = hooks;
    this.#ownedSinceMs = hooks.clock.monotonic();
  }

  /** Messages that are on their way to where they end, or come again. */
  get moving(): number {
    return this.#moving;
  }

  /** Whether any are on their way, or wait for their turn alone. */
  get isMoving(): boolean {
    return this.#moving + this.#queue.size > 0;
  }

  /** A leased message failed: it leaves its lease for what the policy says. */
  fail(block: Block, index: number, cause: FailureCause, said?: Said): void {
    const { clock } = this.#hooks;
    const partition = this.#partition;
    const offset = block.offsetOf(index);
    const nowMs = clock.now();
    const firstFailureMs = this.#first.get(offset) ?? nowMs;
    if (this.#first.size < FIRST_FAILURES_MAX) this.#first.set(offset, firstFailureMs);
    const failure: Failure = {
      cluster: partition.cluster,
      group: this.#hooks.group,
      topic: partition.topic,
      partition: partition.partition,
      offset,
      mode: partition.window.mode,
      cause,
      attempt: block.attemptOf(index),
      askedDelayMs: said?.delayMs,
      reason: said?.reason ?? '',
      firstFailureMs,
      nowMs,
      ownedSinceMs: this.#ownedSinceMs,
    };
    const { window } = partition;
    const decision = partition.policy.decide(failure);
    const now = clock.monotonic();
    window.rewound = 0;
    if (decision.kind === 'retry') window.retry(block, index, inPlace(now, decision), now);
    else if (decision.kind === 'hold') window.stick(block, index);
    else {
      const dueMs =
        decision.kind === 'putOff' ? now + Math.min(decision.delayMs, IN_PLACE_MS_MAX) : 0;
      window.sendAway(block, index, dueMs);
      if (decision.kind === 'wait') this.#wait(failure, decision.delayMs);
      else this.#move(failure, decision);
    }
    this.#hooks.onReturned(window.lastSub, 1 + window.rewound);
    // The next commit says how often it was delivered.
    this.#hooks.onChanged(partition);
  }

  /** A lease of an owner before was refused, and its message was not read again yet. */
  refuse(offset: number, refusal: Refusal): void {
    this.inherit(offset, refusal);
    this.#hooks.onChanged(this.#partition);
  }

  /** Messages were read: of what had been refused before that the policy decides now. */
  read(): void {
    const { window } = this.#partition;
    for (const [offset, { cause, said }] of this.#refused) {
      if (offset >= window.nextOffset) continue;
      this.#refused.delete(offset);
      // Else it is no longer in the log.
      if (window.locate(offset, 0)) this.fail(window.block, window.index, cause, said);
    }
  }

  /** A message failed under the owner before; with `refusal` that is decided when it is read. */
  inherit(offset: number, refusal?: Refusal): void {
    if (refusal !== undefined) this.#refused.set(offset, refusal);
    if (this.#first.size < FIRST_FAILURES_MAX) this.#first.set(offset, this.#hooks.clock.now());
  }

  /** What failed and is not finished, `max` at most, by rising offset. */
  unfinished(max: number): FailedRow[] {
    const { window } = this.#partition;
    const now = this.#hooks.clock.monotonic();
    const rows: FailedRow[] = [];
    for (const offset of this.#first.keys()) {
      if (rows.length === max) break;
      if (window.merger.isConfirmed(offset)) {
        this.#first.delete(offset);
        continue;
      }
      const failed = window.failedAt(offset);
      if (failed === undefined) continue;
      const { attempt, dueMs } = failed;
      const leftMs = dueMs === NO_WAIT ? 0 : Math.max(0, (dueMs - now) | 0);
      rows.push({ offset, attempt, leftMs });
    }
    return rows.sort((a, b) => a.offset - b.offset);
  }

  /** Decides again what waited for it, as far as the budget goes: a queue of all costs nothing. */
  tick(): void {
    const now = this.#hooks.clock.monotonic();
    for (let one = this.#failed.first; one !== undefined; one = this.#failed.first) {
      if (one.atMs > now) break;
      this.#failed.shift();
      const { failure, to } = one;
      this.#follow(failure, to ?? this.#decide(failure));
    }
    if (now < this.#askAtMs) return;
    for (let one = this.#waiting.first; one !== undefined; one = this.#waiting.first) {
      const decision = this.#decide(one);
      if (decision.kind === 'wait') {
        this.#askAtMs = now + decision.delayMs;
        return;
      }
      this.#waiting.shift();
      this.#follow(one, decision);
    }
  }

  /** A message was settled: its failures are history. */
  forget(offset: number): void {
    if (this.#first.size > 0) this.#first.delete(offset);
  }

  /** Gives out again what was held for good. */
  release(): number {
    return this.#partition.window.unstick();
  }

  #decide(failure: Failure): Decision {
    return this.#partition.policy.decide({ ...failure, nowMs: this.#hooks.clock.now() });
  }

  /** Does with a message that is away what was decided. */
  #follow(failure: Failure, decision: Decision): void {
    const { window } = this.#partition;
    const now = this.#hooks.clock.monotonic();
    if (decision.kind === 'wait') this.#wait(failure, decision.delayMs);
    else if (decision.kind === 'retry') window.comeBack(failure.offset, inPlace(now, decision));
    else if (decision.kind === 'hold') window.stickAway(failure.offset);
    else this.#move(failure, decision);
    this.#hooks.onChanged(this.#partition);
  }

  #wait(failure: Failure, delayMs: number): void {
    if (this.#waiting.size === 0) this.#askAtMs = this.#hooks.clock.monotonic() + delayMs;
    this.#waiting.push(failure);
  }

  #move(failure: Failure, to: Leaving): void {
    this.#queue.push({ failure, to });
    this.#pump();
  }

  /** Of a partition that goes what is under way is waited for; the rest is the next owner's. */
  #pump(): void {
    while (this.#moving < MOVES_MAX && !this.#partition.isLeaving) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      const { failure, to } = next;
      this.#moving++;
      void this.#moveOne(failure, to).finally(() => {
        this.#moving--;
        this.#pump();
        this.#hooks.onChanged(this.#partition);
      });
    }
  }

  async #moveOne(failure: Failure, to: Leaving): Promise<void> {
    const partition = this.#partition;
    const { policy } = partition;
    let isRead = false;
    try {
      const record = await this.#hooks.read(partition, failure.offset);
      isRead = true;
      // Without a record there is nothing left to move: that is counted where it was looked for.
      if (record !== undefined && to.kind === 'move') await policy.move(failure, record);
      else if (record !== undefined && to.kind === 'putOff') {
        await policy.putOff(failure, record, failure.nowMs + to.delayMs);
        this.#hooks.onPutOff(partition);
      }
    } catch (error) {
      if (!isRead) this.#hooks.onUnread(error);
      // The policy gives back what it took for a move that failed; of a read it knows nothing.
      const atMs = this.#hooks.clock.monotonic() + moveRetryMs;
      this.#failed.push({ failure, atMs, to: isRead ? undefined : to });
      return;
    }
    if (partition.isClosed) return;
    partition.window.land(failure.offset);
    this.forget(failure.offset);
  }
}

/** When a wait in the lease table ends. */
function inPlace(now: number, { delayMs }: { readonly delayMs: number }): number {
  assert(delayMs <= IN_PLACE_MS_MAX, `a wait of ${delayMs} ms in its place`);
  return now + delayMs;
}

/** How a consumer refused a message. */
export interface Refusal {
  readonly cause: FailureCause;
  readonly said: Said;
}

/** What NACK said. */
export interface Said {
  readonly delayMs: number | undefined;
  readonly reason: string;
}
