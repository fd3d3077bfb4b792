import { coded } from '../../base/errors.ts';
import type { LogChunk } from '../../store/lane-store.ts';

/** Which records are wanted. */
export interface SliceRange {
  /** Offset of the first; when it is gone, the next one is. */
  readonly offset: number;
  /** Offset after the last that may be seen. */
  readonly endOffset: number;
  /** Most bytes; one record is taken in any case. */
  readonly bytesMax: number;
}

/** Records as they lie in the log, which is as they go on the wire. */
export interface RecordSlice {
  readonly count: number;
  /** Where reading goes on; behind `offset` also when nothing was left there. */
  readonly nextOffset: number;
  /** Owned, and alone in its ArrayBuffer, so that it can be transferred to another thread. */
  readonly records: Buffer;
  /** The chunk that holds `nextOffset` when it was cut in the middle. */
  readonly rest: LogChunk | undefined;
}

const TWO_32 = 0x1_0000_0000;

/**
 * Cuts whole records out of consecutive chunks, without touching a byte of them. The first chunk
 * must hold `range.offset`. Compacted chunks have fewer records than offsets.
 *
 * @throws STORE_CORRUPT when a record's length leads out of its chunk.
 */
export function sliceRecords(chunks: readonly LogChunk[], range: SliceRange): RecordSlice {
  const parts: Buffer[] = [];
  let count = 0;
  let room = range.bytesMax;
  let nextOffset = range.offset;
  let rest: LogChunk | undefined;
  for (const chunk of chunks) {
    if (chunk.baseOffset > nextOffset || nextOffset >= range.endOffset) break;
    const end = Math.min(chunk.baseOffset + chunk.messages, range.endOffset);
    const from = skip(chunk, nextOffset);
    const cut = take(chunk, from, { end, room, must: count === 0 });
    if (cut.count > 0) parts.push(chunk.records.subarray(from, cut.to));
    count += cut.count;
    room -= cut.to - from;
    nextOffset = cut.nextOffset;
    if (nextOffset === chunk.baseOffset + chunk.messages) continue;
    rest = chunk;
    break;
  }
  return { count, nextOffset, records: join(parts), rest };
}

function join(parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const part of parts) at += part.copy(joined, at);
  return joined;
}

/** The position of the first record that is not before `offset`. */
function skip(chunk: LogChunk, offset: number): number {
  let position = 0;
  if (offset === chunk.baseOffset) return 0;
  while (position < chunk.records.length && recordOffset(chunk, position) < offset) {
    position = recordEnd(chunk, position);
  }
  return position;
}

interface TakeOptions {
  /** No record from this offset on. */
  readonly end: number;
  readonly room: number;
  /** Take one however long it is. */
  readonly must: boolean;
}

interface Taken {
  readonly to: number;
  readonly count: number;
  readonly nextOffset: number;
}

function take(chunk: LogChunk, from: number, { end, room, must }: TakeOptions): Taken {
  let to = from;
  let count = 0;
  while (to < chunk.records.length) {
    const offset = recordOffset(chunk, to);
    const next = recordEnd(chunk, to);
    const fits = next - from <= room || (must && count === 0);
    if (offset >= end || !fits) return { to, count, nextOffset: Math.min(offset, end) };
    to = next;
    count++;
  }
  return { to, count, nextOffset: end };
}

// record := length:u32 (of what follows) offset:u64 …
function recordEnd(chunk: LogChunk, at: number): number {
  const { records } = chunk;
  const end =
    at + 12 <= records.length ? at + 4 + records.readUInt32BE(at) : Number.POSITIVE_INFINITY;
  if (end > records.length) {
    throw coded(
      'STORE_CORRUPT',
      `topic ${chunk.topicId} partition ${chunk.partition}: expected whole records in the chunk ` +
        `at offset ${chunk.baseOffset}, found one cut short`,
    );
  }
  return end;
}

/** The offset of the record at a position that {@link recordEnd} takes. */
function recordOffset(chunk: LogChunk, at: number): number {
  recordEnd(chunk, at);
  return chunk.records.readUInt32BE(at + 4) * TWO_32 + chunk.records.readUInt32BE(at + 8);
}
