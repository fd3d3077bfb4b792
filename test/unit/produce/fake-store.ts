import assert from 'node:assert/strict';
import { ArraySlab } from '../../../src/produce/intake/array-slab.ts';
import {
  addSegment,
  emptyMicroBatch,
  type MicroBatch,
} from '../../../src/produce/intake/micro-batch.ts';
import { ProducerSession } from '../../../src/produce/intake/producer-session.ts';
import type { BatchHeader } from '../../../src/store/batch-header.ts';
import type { BatchRead, StoredBatch } from '../../../src/store/lane-store.ts';
import { payloadOf } from '../store/support.ts';

/** The outbox in memory: as much of a lane's store as the forwarder needs. */
export class FakeStore {
  readonly batches: { header: BatchHeader; payload: Buffer }[] = [];
  readonly confirmed = new Set<number>();
  readonly refused = new Map<number, string>();
  nextSequence = 1;
  reads = 0;

  get floor(): number {
    let floor = 1;
    while (this.confirmed.has(floor)) floor++;
    return floor;
  }

  append(
    topics: readonly number[],
    nameOf = (id: number) => `t${id}`,
    replicated = false,
  ): MicroBatch {
    const batch = emptyMicroBatch(1_700_000_000_000, 1, new ArraySlab());
    const producer = new ProducerSession(7n, 0);
    const sequence = this.nextSequence;
    const count = topics.length;
    const one = { session: 1, correlationId: sequence, replicated, due: false };
    addSegment(batch, { ...one, count, sequence, producer });
    batch.firstSequence = sequence;
    const payload = payloadOf(
      topics.map((topic, i) => ({ topic, flags: 0, body: Buffer.from(`${sequence + i}`) })),
    );
    const header: BatchHeader = {
      crc: 0,
      previousCrc: 0,
      messages: count,
      firstSequence: sequence,
      acceptedMs: batch.acceptedMs,
      payloadBytes: payload.length,
      payloadCrc: 0,
      segments: [{ producerId: 7n, epoch: 0, flags: 0, count, firstSequence: sequence }],
      topics: [...new Set(topics)].map((id) => ({ id, name: nameOf(id) })),
      chunks: [],
    };
    this.batches.push({ header, payload });
    this.nextSequence += count;
    return batch;
  }

  /** The batch that holds a sequence. */
  batchOf(sequence: number): { readonly header: BatchHeader; readonly payload: Buffer } {
    const found = this.batches.findLast(({ header }) => header.firstSequence <= sequence);
    assert.ok(found);
    return found;
  }

  /** Answers how many were not. */
  confirm(first: number, count: number): number {
    assert.ok(first >= 1 && first + count <= this.nextSequence, `${first} was never stored`);
    const before = this.confirmed.size;
    for (let sequence = first; sequence < first + count; sequence++) this.confirmed.add(sequence);
    return this.confirmed.size - before;
  }

  get unconfirmedMessages(): number {
    return this.nextSequence - 1 - this.confirmed.size;
  }

  payloadAt(index: number): Buffer {
    return (this.batches[index] as { payload: Buffer }).payload;
  }

  isConfirmed(sequence: number): boolean {
    return this.confirmed.has(sequence);
  }

  /** A few batches at a time, so that a long backlog takes several reads. */
  async readBatches(fromSequence: number): Promise<BatchRead> {
    this.reads++;
    await Promise.resolve();
    const found: StoredBatch[] = [];
    for (const { header, payload } of this.batches) {
      const { firstSequence, messages } = header;
      if (firstSequence + messages <= fromSequence) continue;
      let confirmed = 0;
      for (let i = 0; i < messages; i++) if (this.confirmed.has(firstSequence + i)) confirmed++;
      if (confirmed === messages) continue;
      if (found.length === 3) return { batches: found, nextSequence: firstSequence };
      found.push({ header, firstSequence, messages, payload: Buffer.from(payload), confirmed });
    }
    return { batches: found, nextSequence: this.nextSequence };
  }

  /** A message that waits counts one byte. */
  stats(): { unconfirmedMessages: number; liveBytes: number } {
    const { unconfirmedMessages } = this;
    return { unconfirmedMessages, liveBytes: unconfirmedMessages };
  }
}
