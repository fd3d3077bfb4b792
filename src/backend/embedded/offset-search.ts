import type { ChunkInfo, ChunkLog } from '../../store/lane-store.ts';
import type { PartitionLog } from './partition-log.ts';

/**
 * Offset of the first chunk written at `timestampMs` or later, or the log's end when there is
 * none. All records of a chunk have its timestamp. Halves the span of offsets, so it reads a few
 * dozen entries of the index at most; after the wall clock stepped back it may find any of the
 * places where the time fits.
 */
export async function offsetAtTime(
  chunks: ChunkLog,
  log: PartitionLog,
  timestampMs: number,
): Promise<number> {
  let low = log.startOffset;
  let high = log.endOffset;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const chunk = await chunkAt(chunks, log, middle);
    if (chunk === undefined) return high;
    // Retention may have moved the start past `middle` meanwhile: the first chunk left is later.
    if (chunk.timestampMs >= timestampMs) high = Math.min(chunk.baseOffset, middle);
    else low = Math.max(chunk.baseOffset + chunk.messages, middle + 1);
  }
  return Math.max(low, log.startOffset);
}

async function chunkAt(
  chunks: ChunkLog,
  log: PartitionLog,
  offset: number,
): Promise<ChunkInfo | undefined> {
  const { topicId, partition } = log;
  for await (const chunk of chunks.infos({ topicId, partition, offset })) return chunk;
  return undefined;
}
