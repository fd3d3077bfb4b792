import { TimingWheel } from '../../wheel/timing-wheel.ts';
import type { Block } from './block.ts';

/** Blocks of a node that can wait for a time at once. */
const BLOCKS_MAX = 4_000_000;

/**
 * One timer for each block that has a lease or a wait: at the earliest end in it, or before. When
 * it fires the block is looked through, which is a microsecond for a thousand messages; a timer
 * for each message would take more memory than the message's own entry.
 */
export class BlockTimers<W> {
  readonly #wheel: TimingWheel;
  readonly #blocks: (Block | undefined)[] = [];
  readonly #windows: (W | undefined)[] = [];
  readonly #free: number[] = [];
  #onDue: (window: W, block: Block) => void = () => {};

  constructor(startMs: number) {
    this.#wheel = new TimingWheel({ startMs, capacity: BLOCKS_MAX });
  }

  /** Sees to it that a block is looked at by `dueMs`. */
  arm(window: W, block: Block, dueMs: number): void {
    if (block.timer !== 0) {
      if (dueMs >= block.timerDueMs) return;
      this.#wheel.move(block.timer, dueMs);
      block.timerDueMs = dueMs;
      return;
    }
    if (block.id < 0) {
      block.id = this.#free.pop() ?? this.#blocks.length;
      this.#blocks[block.id] = block;
      this.#windows[block.id] = window;
    }
    block.timer = this.#wheel.insert(block.id, dueMs);
    block.timerDueMs = dueMs;
  }

  /** A block has gone. */
  forget(block: Block): void {
    if (block.timer !== 0) this.#wheel.cancel(block.timer);
    block.timer = 0;
    block.timerDueMs = 0;
    if (block.id < 0) return;
    this.#blocks[block.id] = undefined;
    this.#windows[block.id] = undefined;
    this.#free.push(block.id);
    block.id = -1;
  }

  /** Calls `onDue` for the blocks whose time has come. True: there is more, call again soon. */
  advance(nowMs: number, onDue: (window: W, block: Block) => void): boolean {
    this.#onDue = onDue;
    return this.#wheel.advance(nowMs, this.#fire);
  }

  /** Whether no block is to be looked at. */
  get isEmpty(): boolean {
    return this.#wheel.size === 0;
  }

  readonly #fire = (id: number): void => {
    const block = this.#blocks[id];
    const window = this.#windows[id];
    if (block === undefined || window === undefined) return;
    block.timer = 0;
    this.#onDue(window, block);
  };
}
