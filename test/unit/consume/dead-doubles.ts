import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { formatMessageId, type MessageId } from '../../../protocol/src/message-id.ts';
import { writeTailRecord } from '../../../protocol/src/tail.ts';
import type { TopicPartition } from '../../../src/backend/consumer-port.ts';
import type {
  InternalTopicSpec,
  PublishRecord,
  PublishResult,
} from '../../../src/backend/publisher-port.ts';
import type { DeadCluster } from '../../../src/consume/dead-letters/dead-letter-mover.ts';
import type { Failure } from '../../../src/consume/lease/settle.ts';

/** A failure with what a test leaves out. */
export function failureOf(part: Partial<Failure> = {}): Failure {
  return {
    cluster: 0,
    group: 'billing',
    topic: 'orders',
    partition: 0,
    offset: 7,
    mode: 'shared',
    cause: 'nack',
    attempt: 1,
    askedDelayMs: undefined,
    reason: 'no such customer',
    firstFailureMs: 1000,
    nowMs: 2000,
    ownedSinceMs: 0,
    ...part,
  };
}

type TailRecord = Parameters<typeof writeTailRecord>[1];

/** A record as a fetch gives it. */
export function wireRecord(part: Partial<TailRecord> = {}): Buffer {
  const writer = new FrameWriter();
  writer.begin(0, 0, 0, 0);
  const at = writer.length;
  writeTailRecord(writer, { offset: 7, timestampMs: 500, value: Buffer.from('v'), ...part });
  writer.end();
  return writer.detach().subarray(at);
}

/** A cluster that keeps what is published; `answer` refuses when it gives something. */
export class DeadClusterDouble implements DeadCluster {
  readonly batches: (readonly PublishRecord[])[] = [];
  readonly ensured: InternalTopicSpec[] = [];
  existing: number | undefined;
  answer: (record: PublishRecord) => PublishResult = () => ({ partition: 0, offset: 0 });
  /** Held back until it resolves. */
  gate: Promise<void> = Promise.resolve();
  ensureError: Error | undefined;
  /** Ids, as text, that lie in the topic, and what was asked: `topic/partition@sinceMs`. */
  readonly there = new Set<string>();
  readonly looks: string[] = [];

  readonly publisher = {
    cluster: 0 as const,
    inFlightBytes: 0,
    publish: async (records: readonly PublishRecord[]) => {
      this.batches.push(records);
      await this.gate;
      return records.map((record) => this.answer(record));
    },
    close: async () => {},
  };
  readonly topics = {
    cluster: 0 as const,
    ensure: async (spec: InternalTopicSpec) => {
      this.ensured.push(spec);
      if (this.ensureError !== undefined) throw this.ensureError;
    },
  };

  async lettersSince({ topic, partition }: TopicPartition, sinceMs: number) {
    this.looks.push(`${topic}/${partition}@${sinceMs}`);
    return { has: (id: MessageId) => this.there.has(formatMessageId(id)) };
  }

  async partitionsOf(): Promise<number | undefined> {
    return this.existing;
  }

  get records(): PublishRecord[] {
    return this.batches.flat();
  }
}
