import { Block, messageState } from './block.ts';
import type { BlockTimers } from './block-timers.ts';

/** A block is put together with its neighbours when so few of its messages are unfinished. */
const SPARSE_SHARE = 8;
/** Messages of a block that is put together. */
const MERGED_MAX = 1_024;
const SPAN_MAX = 2 ** 32 - 1;

/**
 * Puts runs of sparse blocks together, so that memory follows what is unfinished, not what was
 * fetched. Answers the very same array when there was nothing to do. `onMade` is told the bytes of
 * payload that the old blocks held, and the new one. A timer is carried over as `timerDueMs`.
 */
export function compacted<W>(
  blocks: Block[],
  timers: BlockTimers<W>,
  onMade: (oldBytes: number, made: Block) => void,
): Block[] {
  if (!blocks.some(isSparse)) return blocks;
  const kept: Block[] = [];
  for (let i = 0; i < blocks.length; ) {
    let end = i;
    let open = 0;
    const base = (blocks[i] as Block).base;
    while (end < blocks.length) {
      const block = blocks[end] as Block;
      if (!isSparse(block) || open + block.open > MERGED_MAX) break;
      if (block.last - base > SPAN_MAX) break;
      open += block.open;
      end++;
    }
    if (end === i) kept.push(blocks[i++] as Block);
    else {
      const group = blocks.slice(i, end);
      if (group.length === 1 && (group[0] as Block).open === (group[0] as Block).count) {
        kept.push(group[0] as Block);
      } else {
        const bytes = group.reduce((sum, block) => sum + block.bytes, 0);
        const made = merge(group, open);
        for (const block of group) {
          timers.forget(block);
          block.drop();
        }
        onMade(bytes, made);
        kept.push(made);
      }
      i = end;
    }
  }
  return kept;
}

/** Given out throughout, and little of it left; small ones come together too. */
function isSparse(block: Block): boolean {
  if (block.fresh < block.count || block.asked) return false;
  return block.open * SPARSE_SHARE <= block.count || block.isMerged;
}

function merge(group: readonly Block[], open: number): Block {
  const made = new Block((group[0] as Block).base, open);
  made.fresh = open;
  made.isMerged = true;
  if (group.some(({ keys }) => keys !== undefined)) made.keys = new Uint32Array(open);
  made.starts = new Uint32Array(open);
  made.ends = new Uint32Array(open);
  const parts: Buffer[] = [];
  let to = 0;
  let bytes = 0;
  for (const block of group) {
    if (block.timer !== 0) {
      const due = block.timerDueMs;
      made.timerDueMs = made.timerDueMs === 0 ? due : Math.min(made.timerDueMs, due);
    }
    for (let i = 0; i < block.count; i++) {
      if (block.stateOf(i) === messageState.settled) continue;
      made.adopt(to, block, i);
      const end = block.records === undefined ? 0 : (block.ends[i] as number);
      if (block.records !== undefined && end > 0) {
        const start = block.starts[i] as number;
        parts.push(block.records.subarray(start, end));
        made.starts[to] = bytes;
        bytes += end - start;
        made.ends[to] = bytes;
      }
      to++;
    }
  }
  if (bytes > 0) made.records = Buffer.concat(parts);
  return made;
}
