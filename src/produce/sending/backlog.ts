import type { ProduceRequest } from '../../native/kafka.ts';
import { type BatchHeader, SEGMENT_REPLICATED } from '../../store/batch-header.ts';
import type { BatchRead, LaneStore, StoredBatch } from '../../store/lane-store.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import { SEGMENT_ID_BYTES, writeU48 } from '../intake/micro-batch.ts';
import type { DrainPace, DrainWalk } from './drain-pace.ts';
import type { StoredTopics } from './stored-topics.ts';

/** Bytes of backlog that are read back, and sent in one turn: new messages wait for no more. */
const READ_BYTES = 256 * 1024;
const RECORD_HEAD_BYTES = 8;

/** Parts of a {@link Backlog}. */
export interface BacklogParts {
  readonly store: LaneStore;
  readonly topics: StoredTopics;
  /** Eight bytes. */
  readonly originNode: Uint8Array;
  readonly stats: LaneStats;
}

/**
 * Reads stored batches back, a chunk at a time. The last chunk is kept until it was used whole,
 * so that a producer that is full after a few messages does not cost a read each time.
 */
export class Backlog {
  private readonly parts: BacklogParts;
  private readonly walk: DrainWalk | undefined;
  private chunk: (BatchRead & { readonly from: number }) | undefined;

  /** @param pace absent for one who reads and sends nothing: it keeps nobody waiting */
  constructor(parts: BacklogParts, pace?: DrainPace) {
    this.parts = parts;
    this.walk = pace?.walk();
  }

  /** Batches with unconfirmed messages from the one that holds `from`. */
  async read(from: number): Promise<BatchRead> {
    const { store, topics, stats } = this.parts;
    const kept = this.chunk;
    if (kept !== undefined && kept.from <= from && from < kept.nextSequence) return kept;
    this.chunk = undefined;
    await this.walk?.pass();
    const read = await store.readBatches(from, READ_BYTES);
    stats.add(stat.backlogReads, 1);
    let bytes = 0;
    for (const batch of read.batches) {
      topics.resolve(batch);
      bytes += batch.payload.length;
    }
    this.walk?.took(bytes);
    if (read.batches.length > 0) this.chunk = { ...read, from };
    return read;
  }

  /** A stored batch as a produce call takes it. */
  request(batch: StoredBatch, skip: Uint8Array | undefined): ProduceRequest {
    return {
      payload: batch.payload,
      firstSequence: batch.firstSequence,
      originNode: this.parts.originNode,
      acceptedMs: batch.header.acceptedMs,
      ...(skip === undefined ? {} : { skip }),
      ...segmentsOf(batch.header),
    };
  }

  /** Which messages to leave out: those that `wants` does not want, and the confirmed ones. */
  skipBut(
    batch: StoredBatch,
    wants: (topic: number, sequence: number) => boolean,
  ): { readonly skip: Uint8Array; readonly wanted: number } {
    const { store } = this.parts;
    const { payload, firstSequence, messages } = batch;
    const skip = new Uint8Array(messages).fill(1);
    let wanted = 0;
    let at = 0;
    for (let ordinal = 0; ordinal < messages; ordinal++) {
      const topic = payload.readUInt16LE(at + 4);
      at += RECORD_HEAD_BYTES + payload.readUInt32LE(at);
      const sequence = firstSequence + ordinal;
      if (!wants(topic, sequence)) continue;
      if (batch.confirmed > 0 && store.isConfirmed(sequence)) continue;
      skip[ordinal] = 0;
      wanted++;
    }
    return { skip, wanted };
  }
}

/** The segments of a stored batch as a produce call takes them. */
function segmentsOf(
  header: BatchHeader,
): Pick<ProduceRequest, 'ids' | 'segmentCounts' | 'segmentFlags'> {
  const segments = header.segments.filter(({ count }) => count > 0);
  const ids = new Uint8Array(segments.length * SEGMENT_ID_BYTES);
  const view = new DataView(ids.buffer);
  const segmentCounts = new Int32Array(segments.length);
  const segmentFlags = new Uint8Array(segments.length);
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i];
    if (segment === undefined) continue;
    const at = i * SEGMENT_ID_BYTES;
    view.setBigUint64(at, segment.producerId);
    view.setUint16(at + 8, segment.epoch);
    writeU48(ids, at + 10, segment.firstSequence);
    segmentCounts[i] = segment.count;
    segmentFlags[i] = (segment.flags & SEGMENT_REPLICATED) === 0 ? 0 : 1;
  }
  return { ids, segmentCounts, segmentFlags };
}
