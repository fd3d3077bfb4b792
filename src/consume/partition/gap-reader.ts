import type { ConsumerBackend } from '../../backend/consumer-port.ts';
import { type TailResult, tailFrom } from '../../backend/port.ts';
import { coded } from '../../base/errors.ts';
import { type Block, messageState } from '../lease/block.ts';
import type { Losses } from './losses.ts';
import type { ConsumePartition } from './partition.ts';

const READ_BYTES = 1024 * 1024;
const TWO_32 = 0x1_0000_0000;

/**
 * Reads payload again that was dropped, beside the group: for messages whose lease ended, and for
 * those that are moved.
 */
export class GapReader {
  readonly #backend: ConsumerBackend;
  readonly #losses: Losses;

  constructor(backend: ConsumerBackend, losses: Losses) {
    this.#backend = backend;
    this.#losses = losses;
  }

  /**
   * Brings the payload of what is ready in a block. False: nothing came of the first, which is
   * still expected. Rejects as `tail` does.
   */
  async fill(partition: ConsumePartition, block: Block): Promise<boolean> {
    const { window } = partition;
    const first = firstReady(block);
    if (first < 0) return true;
    const read = await this.#read(partition, block.offsetOf(first), READ_BYTES);
    if (partition.isClosed) return true;
    if (block.records !== undefined) keepWhatIsThere(block, read.records, read.count, window);
    else place(block, read.records, read.count, window);
    let freed = 0;
    let dropped = 0;
    for (let i = first; i < block.count; i++) {
      const offset = block.offsetOf(i);
      if (offset >= read.nextOffset && offset >= read.startOffset) break;
      if (block.stateOf(i) !== messageState.ready || (block.ends[i] as number) > 0) continue;
      window.forgetReady(block, i);
      if (offset < read.startOffset) freed++;
      else dropped++;
    }
    if (freed + dropped > 0) partition.isDirty = true;
    if (freed > 0) this.#losses.note(partition, 'retention', freed);
    if (dropped > 0) this.#losses.note(partition, 'compaction', dropped);
    return firstReady(block) !== first;
  }

  /**
   * The whole record of one message, owned; undefined when it is no longer in the log, which is
   * counted. @throws BACKEND_UNAVAILABLE when it did not come in time; as `tail` does
   */
  async record(partition: ConsumePartition, offset: number): Promise<Buffer | undefined> {
    const read = await this.#read(partition, offset, 1);
    const { records, count, startOffset, nextOffset } = read;
    if (count > 0 && offsetAt(records, 0) === offset) {
      return records.subarray(0, 4 + records.readUInt32BE(0));
    }
    // Behind the end as well: after an election it may lie too low for a while.
    if (offset >= startOffset && offset >= nextOffset) {
      throw coded('BACKEND_UNAVAILABLE', `offset ${offset} of ${partition.topic} did not come`);
    }
    this.#losses.note(partition, offset < startOffset ? 'retention' : 'compaction', 1);
    return undefined;
  }

  async #read(
    { topic, partition }: ConsumePartition,
    position: number,
    bytesMax: number,
  ): Promise<Omit<TailResult, 'records' | 'partition'> & { records: Buffer }> {
    const at = { topic, partition, bytesMax, waitMs: 0, isThere: true };
    try {
      const read = await this.#backend.tail({ ...at, from: tailFrom.offset, position });
      const { buffer, byteOffset, byteLength } = read.records;
      return { ...read, records: Buffer.from(buffer, byteOffset, byteLength) };
    } catch (error) {
      if ((error as { code?: string }).code !== 'OFFSET_OUT_OF_RANGE') throw error;
      const [span] = (await this.#backend.offsets(topic)).filter((o) => o.partition === partition);
      const startOffset = span?.startOffset ?? position + 1;
      const endOffset = span?.endOffset ?? startOffset;
      return {
        records: Buffer.alloc(0),
        count: 0,
        nextOffset: startOffset,
        startOffset,
        endOffset,
      };
    }
  }
}

function firstReady(block: Block): number {
  for (let i = 0; i < block.count; i++) {
    if (
      block.stateOf(i) === messageState.ready &&
      !((block.ends[i] as number) > 0 && block.records)
    )
      return i;
  }
  return -1;
}

/** The block had no payload: the records become it. */
function place(
  block: Block,
  records: Buffer,
  count: number,
  window: ConsumePartition['window'],
): void {
  const starts = new Uint32Array(block.count);
  const ends = new Uint32Array(block.count);
  for (let n = 0, at = 0; n < count; n++) {
    const end = at + 4 + records.readUInt32BE(at);
    const index = block.indexOf(offsetAt(records, at));
    if (index >= 0) {
      starts[index] = at;
      ends[index] = end;
    }
    at = end;
  }
  window.supply(block, records, starts, ends);
}

/** The block has some of its payload: what was read comes behind it. */
function keepWhatIsThere(
  block: Block,
  records: Buffer,
  count: number,
  window: ConsumePartition['window'],
): void {
  const base = block.bytes;
  const starts = Uint32Array.from(block.starts.subarray(0, block.count));
  const ends = Uint32Array.from(block.ends.subarray(0, block.count));
  for (let n = 0, at = 0; n < count; n++) {
    const end = at + 4 + records.readUInt32BE(at);
    const index = block.indexOf(offsetAt(records, at));
    if (index >= 0 && (ends[index] as number) === 0) {
      starts[index] = base + at;
      ends[index] = base + end;
    }
    at = end;
  }
  window.supply(block, Buffer.concat([block.records as Buffer, records]), starts, ends);
}

function offsetAt(records: Buffer, at: number): number {
  return records.readUInt32BE(at + 4) * TWO_32 + records.readUInt32BE(at + 8);
}
