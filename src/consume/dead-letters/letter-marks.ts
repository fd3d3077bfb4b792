import { RecordCursor } from '../../../protocol/src/record-cursor.ts';
import { type TailResult, tailFrom } from '../../backend/port.ts';
import type {
  InternalTopicSpec,
  InternalTopics,
  Publisher,
  PublishRecord,
} from '../../backend/publisher-port.ts';
import { coded, codeOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { OffsetMerger } from '../../offsets/offset-merger.ts';
import type { Dealt, LetterSource } from './letter-walk.ts';

/** Which dead letters were put back or purged, on each cluster. */
export const marksTopic = '__mqproxy.redriven';

const KEY = /^(.+)\/(\d+)\/(\d+)$/;
const config = {
  'cleanup.policy': 'compact',
  'segment.bytes': String(64 * 1024 * 1024),
} as const;

/** How it must be. */
export function marksTopicSpec(
  replicationFactor: InternalTopicSpec['replicationFactor'],
): InternalTopicSpec {
  return { name: marksTopic, partitions: 1, config, replicationFactor };
}

/** One cluster's side of the marks. */
export interface MarksCluster {
  readonly source: LetterSource;
  readonly publisher: Publisher;
  readonly topics: InternalTopics;
  readonly replicationFactor: 'auto' | number;
}

/**
 * What was dealt with of one topic of dead letters. A letter stays in its topic until retention
 * takes it, so a mark says that it is done; marks lie in a log-compacted topic, a record for each
 * 65,536 offsets of a partition.
 *
 *     key   := TOPIC "/" PARTITION "/" CHUNK      (text, decimal)
 *     value := a chunk as the offset merger encodes it, of offset + 1
 */
export class LetterMarks implements Dealt {
  readonly #cluster: MarksCluster;
  readonly #dlq: string;
  readonly #partitions = new Map<number, OffsetMerger>();

  private constructor(cluster: MarksCluster, dlq: string) {
    this.#cluster = cluster;
    this.#dlq = dlq;
  }

  /** Reads the marks as they are now. @throws BACKEND_UNAVAILABLE, ROLE_REFUSED */
  static async load(cluster: MarksCluster, dlq: string): Promise<LetterMarks> {
    const marks = new LetterMarks(cluster, dlq);
    const newest = await marks.#readAll();
    for (const [key, value] of newest) {
      const [, , partition, chunk] = KEY.exec(key) ?? [];
      if (value !== null) marks.#mergerOf(Number(partition)).load(Number(chunk), value);
    }
    // What was loaded is no change.
    for (const merger of marks.#partitions.values()) merger.takeChanges();
    return marks;
  }

  has(partition: number, offset: number): boolean {
    return this.#partitions.get(partition)?.isConfirmed(offset + 1) ?? false;
  }

  /** Marks a letter; it counts once {@link save} has resolved. */
  add(partition: number, offset: number): void {
    // Number 0 is never confirmed: so the floor stays, and every chunk holds all its bits.
    this.#mergerOf(partition).confirm(offset + 1, 1);
  }

  /** Makes the marks durable. @throws what the cluster refused them with */
  async save(): Promise<void> {
    const records: PublishRecord[] = [];
    for (const [partition, merger] of this.#partitions) {
      for (const { chunk, bytes } of merger.takeChanges()) {
        const key = Buffer.from(`${this.#dlq}/${partition}/${chunk}`);
        const record = { topic: marksTopic, partition: 0, key, headers: Buffer.alloc(0) };
        records.push({ ...record, value: bytes ?? null });
      }
    }
    if (records.length === 0) return;
    const results = await this.#cluster.publisher.publish(records);
    for (const result of results) {
      if ('code' in result) throw coded(result.code, `${marksTopic}: ${result.message}`);
    }
  }

  /** Makes the topic, if need be, before the first mark. @throws ROLE_REFUSED */
  async ensure(): Promise<void> {
    const { topics, replicationFactor } = this.#cluster;
    await topics.ensure(marksTopicSpec(replicationFactor));
  }

  #mergerOf(partition: number): OffsetMerger {
    const known = this.#partitions.get(partition);
    if (known !== undefined) return known;
    const merger = new OffsetMerger(0);
    this.#partitions.set(partition, merger);
    return merger;
  }

  async #readAll(): Promise<Map<string, Buffer | null>> {
    const { source } = this.#cluster;
    const newest = new Map<string, Buffer | null>();
    let offsets: Awaited<ReturnType<LetterSource['offsets']>>;
    try {
      offsets = await source.offsets(marksTopic);
    } catch (error) {
      // Nobody has put a letter back yet.
      if (codeOf(error) === 'UNKNOWN_TOPIC') return newest;
      throw error;
    }
    const { startOffset = 0, endOffset = 0 } = offsets[0] ?? {};
    for (let position = startOffset; position < endOffset; ) {
      const result = await source.tail({
        topic: marksTopic,
        partition: 0,
        from: tailFrom.offset,
        position,
        bytesMax: limits.tailBytesMax,
        waitMs: 0,
      });
      this.#collect(result, newest);
      if (result.nextOffset <= position) break;
      position = result.nextOffset;
    }
    return newest;
  }

  #collect({ records, count }: TailResult, newest: Map<string, Buffer | null>): void {
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
    const cursor = new RecordCursor(marksTopic);
    cursor.start(bytes, 0, bytes.length, count);
    while (cursor.next()) {
      const key = cursor.key?.toString() ?? '';
      if (KEY.exec(key)?.[1] !== this.#dlq) continue;
      newest.set(key, cursor.value === null ? null : Buffer.from(cursor.value));
    }
  }
}
