import { readTailHeaders } from '../../../protocol/src/message-headers.ts';
import { decodeMqHeader, MQ_HEADER_NAME } from '../../../protocol/src/mq-header.ts';
import type { PartitionOffsets, TailRequest, TailResult } from '../../../src/backend/port.ts';
import type { PublishRecord, PublishResult } from '../../../src/backend/publisher-port.ts';
import { coded } from '../../../src/base/errors.ts';
import type { DeskCluster } from '../../../src/consume/dead-letters/dead-letter-desk.ts';
import { wireRecord } from './dead-doubles.ts';

interface Stored {
  readonly record: PublishRecord;
  readonly offset: number;
}

/** A cluster in memory, as far as dead letters need one: topics of one partition or more. */
export class MemoryCluster implements DeskCluster {
  readonly cluster = 0 as const;
  readonly replicationFactor = 'auto' as const;
  readonly partitions = new Map<string, { start: number; records: Stored[] }[]>();
  /** Gives a refusal, or undefined to take the record. */
  refuse: (record: PublishRecord) => PublishResult | undefined = () => undefined;
  /** Records in one answer to a tail. */
  tailMax = 7;
  readonly deleted: [topic: string, partition: number, before: number][] = [];

  readonly publisher = {
    cluster: 0 as const,
    inFlightBytes: 0,
    publish: async (records: readonly PublishRecord[]) => {
      await Promise.resolve();
      return records.map((record) => this.refuse(record) ?? this.append(record));
    },
    close: async () => {},
  };
  readonly topics = {
    cluster: 0 as const,
    ensure: async ({ name, partitions }: { name: string; partitions: number }) => {
      if (!this.partitions.has(name)) this.create(name, partitions);
    },
  };
  readonly source = {
    cluster: 0 as const,
    offsets: async (topic: string): Promise<PartitionOffsets[]> =>
      this.#logs(topic).map(({ start, records }, partition) => ({
        partition,
        startOffset: start,
        endOffset: (records.at(-1)?.offset ?? start - 1) + 1,
      })),
    tail: async (request: TailRequest): Promise<TailResult> => this.#tail(request),
  };

  create(topic: string, partitions = 1): void {
    const logs = Array.from({ length: partitions }, () => ({ start: 0, records: [] }));
    this.partitions.set(topic, logs);
  }

  append(record: PublishRecord): { partition: number; offset: number } {
    if (!this.partitions.has(record.topic)) this.create(record.topic);
    const partition = record.partition ?? 0;
    const log = this.#logs(record.topic)[partition];
    if (log === undefined) throw coded('UNKNOWN_PARTITION', `${record.topic} ${partition}`);
    const offset = (log.records.at(-1)?.offset ?? log.start - 1) + 1;
    log.records.push({ record: { ...record, headers: Buffer.from(record.headers) }, offset });
    return { partition, offset };
  }

  /** Values of a topic's records, in order. */
  values(topic: string): string[] {
    const logs = this.partitions.get(topic) ?? [];
    return logs.flatMap(({ records }) => records.map(({ record }) => String(record.value)));
  }

  records(topic: string): PublishRecord[] {
    return (this.partitions.get(topic) ?? []).flatMap(({ records }) =>
      records.map(({ record }) => record),
    );
  }

  async deleteRecords(topic: string, partition: number, before: number): Promise<void> {
    this.deleted.push([topic, partition, before]);
    const log = this.#logs(topic)[partition];
    if (log === undefined) return;
    log.records = log.records.filter(({ offset }) => offset >= before);
    log.start = Math.max(log.start, before);
  }

  #logs(topic: string): { start: number; records: Stored[] }[] {
    const logs = this.partitions.get(topic);
    if (logs === undefined) throw coded('UNKNOWN_TOPIC', topic);
    return logs;
  }

  #tail({ topic, partition, from, position }: TailRequest): TailResult {
    const log = this.#logs(topic)[partition];
    if (log === undefined) throw coded('UNKNOWN_PARTITION', topic);
    const first = from === 1 ? log.start : position;
    if (first < log.start) throw coded('OFFSET_OUT_OF_RANGE', topic);
    const found = log.records.filter(({ offset }) => offset >= first).slice(0, this.tailMax);
    const records = Buffer.concat(found.map(({ record, offset }) => encoded(record, offset)));
    const nextOffset = (found.at(-1)?.offset ?? first - 1) + 1;
    const endOffset = (log.records.at(-1)?.offset ?? log.start - 1) + 1;
    const { start: startOffset } = log;
    return { partition, startOffset, endOffset, nextOffset, count: found.length, records };
  }
}

function encoded(record: PublishRecord, offset: number): Buffer {
  const headers = readTailHeaders(Buffer.from(record.headers));
  const mq = headers.find(({ name }) => name === MQ_HEADER_NAME)?.value;
  const id = mq === undefined || mq === null ? undefined : decodeMqHeader(Buffer.from(mq));
  return wireRecord({
    offset,
    timestampMs: 1,
    key: record.key ?? undefined,
    value: record.value,
    headers: headers.filter(({ name }) => name !== MQ_HEADER_NAME),
    id,
  });
}
