import { Block, messageState } from './block.ts';
import type { BlockTimers } from './block-timers.ts';

/** Little is left of a block of which so few messages are unfinished; of one put together, half. */
const SPARSE_SHARE = 8;
const MERGED_SHARE = 2;
/**
 * A block costs its tables, some 1.5 KiB, before the first message. What has fewer messages and
 * bytes of records is small: these costs count there.
 */
const SMALL_MESSAGES = 128;
const SMALL_BYTES = 16 * 1024;
/** So many neighbours are put together, though nothing of them is settled. */
const NEIGHBOURS_MIN = 8;
/** Messages of a block that is put together, and bytes of their records: they are read as one. */
const MERGED_MAX = 1_024;
const MERGED_BYTES = 256 * 1024;
const SPAN_MAX = 2 ** 32 - 1;

/**
 * Puts runs of small and of sparse blocks together, so that memory follows what is unfinished, not
 * what was fetched, nor in how many fetches. None of them may be finished. Answers the very same
 * array when there was nothing to do. `onMade` is told the bytes of payload that the old blocks
 * held, and the new one. A timer is carried over as `timerDueMs`.
 */
export function compacted<W>(
  blocks: Block[],
  timers: BlockTimers<W>,
  onMade: (oldBytes: number, made: Block) => void,
): Block[] {
  const kept: Block[] = [];
  let isChanged = false;
  for (let from = 0; from < blocks.length; ) {
    const end = endOfRun(blocks, from);
    if (end === from) {
      kept.push(blocks[from++] as Block);
      continue;
    }
    const run = blocks.slice(from, end);
    from = end;
    if (run.length < NEIGHBOURS_MIN && !run.some(isSparse)) {
      kept.push(...run);
      continue;
    }
    const bytes = run.reduce((sum, block) => sum + block.bytes, 0);
    const made = merge(run);
    for (const block of run) {
      timers.forget(block);
      block.drop();
    }
    onMade(bytes, made);
    kept.push(made);
    isChanged = true;
  }
  return isChanged ? kept : blocks;
}

/** Behind the last of the blocks from `from` on that may be put together; `from` for none. */
function endOfRun(blocks: readonly Block[], from: number): number {
  const { base } = blocks[from] as Block;
  let open = 0;
  let bytes = 0;
  for (let end = from; end < blocks.length; end++) {
    const block = blocks[end] as Block;
    open += block.open;
    bytes += block.openBytes;
    // What is settled of a sparse block goes, whatever is left of it.
    const isLight = bytes <= MERGED_BYTES || end === from;
    const fits = isLight && open <= MERGED_MAX && block.last - base <= SPAN_MAX;
    if (block.asked || !fits || !(isSmall(block) || isSparse(block))) return end;
  }
  return blocks.length;
}

function isSmall(block: Block): boolean {
  return block.isMerged || (block.count < SMALL_MESSAGES && block.recordBytes < SMALL_BYTES);
}

/** Given out throughout, and little of it left. */
function isSparse(block: Block): boolean {
  const share = block.isMerged ? MERGED_SHARE : SPARSE_SHARE;
  return block.fresh === block.count && block.open * share <= block.count;
}

function merge(run: readonly Block[]): Block {
  let open = 0;
  let bytes = 0;
  for (const block of run) {
    open += block.open;
    for (let i = 0; i < block.count; i++) bytes += bytesOf(block, i);
  }
  const made = new Block((run[0] as Block).base, open);
  made.recordBytes = run.reduce((sum, block) => sum + block.openBytes, 0);
  made.isMerged = true;
  if (run.some(({ keys }) => keys !== undefined)) made.keys = new Uint32Array(open);
  made.starts = new Uint32Array(open);
  made.ends = new Uint32Array(open);
  if (bytes > 0) made.records = Buffer.allocUnsafeSlow(bytes);
  let to = 0;
  let at = 0;
  for (const block of run) {
    if (block.timer !== 0) {
      const due = block.timerDueMs;
      made.timerDueMs = made.timerDueMs === 0 ? due : Math.min(made.timerDueMs, due);
    }
    for (let i = 0; i < block.count; i++) {
      if (block.stateOf(i) === messageState.settled) continue;
      made.adopt(to, block, i);
      // What was never given out lies behind all that was.
      if (i < block.fresh && made.fresh === to) made.fresh++;
      const size = bytesOf(block, i);
      if (size > 0) {
        made.starts[to] = at;
        at += (block.records as Buffer).copy(
          made.records as Buffer,
          at,
          block.starts[i],
          block.ends[i],
        );
        made.ends[to] = at;
      }
      to++;
    }
  }
  return made;
}

/** Bytes of an unfinished message's record, as far as it is here. */
function bytesOf(block: Block, index: number): number {
  if (block.records === undefined || block.stateOf(index) === messageState.settled) return 0;
  return block.sizeOf(index);
}
