import { randomBytes } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { passing, within } from './wait.ts';

/** Our record header, decoded here by hand: the reader must not lean on the code under test. */
export interface MqHeader {
  readonly version: number;
  readonly flags: number;
  readonly producerId: bigint;
  readonly epoch: number;
  readonly sequence: number;
  readonly originNode: bigint;
  readonly acceptedMs: number;
  readonly dueMs: number | undefined;
  /** The message id as text: `<producer hex>-<epoch>-<sequence>`. */
  readonly id: string;
}

/** One record as an independent client (kafkajs) sees it. */
export interface KafkaRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** All headers but ours; several values of one name follow each other. */
  readonly headers: readonly (readonly [name: string, value: Buffer])[];
  readonly mq: MqHeader | undefined;
}

/** Makes a kafkajs client that keeps quiet. */
export function kafkaClient(brokers: string): Kafka {
  return new Kafka({
    clientId: 'mqproxy-test',
    brokers: brokers.split(','),
    logLevel: logLevel.NOTHING,
  });
}

/**
 * Reads a whole topic, as far as it reached when this was called, ordered by partition and offset.
 */
export async function readTopic(
  brokers: string,
  topic: string,
  options: { timeoutMs?: number } = {},
): Promise<KafkaRecord[]> {
  const records: KafkaRecord[] = [];
  await scanTopic(brokers, topic, (record) => records.push(record), options);
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/**
 * The same without keeping it: each partition's records come in order, partitions in between each
 * other. The group it uses is made for the call and deleted at its end.
 */
export async function scanTopic(
  brokers: string,
  topic: string,
  onRecord: (record: KafkaRecord) => void,
  { timeoutMs = 60_000 }: { timeoutMs?: number } = {},
): Promise<void> {
  const kafka = kafkaClient(brokers);
  const admin = kafka.admin();
  await admin.connect();
  const groupId = `mqproxy-test-read-${randomBytes(6).toString('hex')}`;
  try {
    const open = new Map<number, Span>();
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      if (Number(high) > Number(low)) open.set(partition, { next: 0, end: Number(high) });
    }
    const until = performance.now() + timeoutMs;
    while (open.size > 0) {
      const scanned = readTo(kafka, groupId, topic, open, onRecord);
      await within(scanned, until - performance.now(), `all of ${topic}`).catch(waitWhenLoading);
    }
  } finally {
    await admin.deleteGroups([groupId]).catch(() => undefined);
    await admin.disconnect();
  }
}

/** What is left to be read of a partition. */
interface Span {
  next: number;
  readonly end: number;
}

/** A broker that has just started says for a while that it is loading its groups. */
async function waitWhenLoading(error: unknown): Promise<void> {
  const type = error instanceof Error && 'type' in error ? error.type : undefined;
  if (type !== 'GROUP_LOAD_IN_PROGRESS' && type !== 'GROUP_COORDINATOR_NOT_AVAILABLE') throw error;
  await passing(200);
}

async function readTo(
  kafka: Kafka,
  groupId: string,
  topic: string,
  open: Map<number, Span>,
  onRecord: (record: KafkaRecord) => void,
): Promise<void> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, maxBytesPerPartition: 8 << 20 });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      consumer
        .run({
          autoCommit: false,
          eachBatch: async ({ batch }) => {
            const span = open.get(batch.partition);
            if (span === undefined) return;
            for (const message of batch.messages) {
              const offset = Number(message.offset);
              if (offset < span.next || offset >= span.end) continue;
              onRecord(recordOf(batch.partition, message));
              span.next = offset + 1;
            }
            if (Number(batch.lastOffset()) >= span.end - 1) open.delete(batch.partition);
            if (open.size === 0) resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
}

type HeaderValue = Buffer | string | (Buffer | string)[] | undefined;

interface RawMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
  readonly offset: string;
  readonly headers?: { readonly [name: string]: HeaderValue };
}

function recordOf(partition: number, message: RawMessage): KafkaRecord {
  const headers: [string, Buffer][] = [];
  let mq: MqHeader | undefined;
  for (const [name, given] of Object.entries(message.headers ?? {})) {
    for (const value of Array.isArray(given) ? given : [given]) {
      const bytes = Buffer.from(value ?? '');
      if (name === 'mq') mq = decodeMqHeader(bytes);
      else headers.push([name, bytes]);
    }
  }
  const { key, value, timestamp, offset } = message;
  return {
    partition,
    offset: Number(offset),
    timestampMs: Number(timestamp),
    key,
    value,
    headers,
    mq,
  };
}

/**
 * `version:u8 | flags:u8 (1 = due) | producerId:u64 | epoch:u16 | sequence:u48 | originNode:u64 |
 * acceptedMs:u64 | [dueMs:u64]`
 */
export function decodeMqHeader(bytes: Buffer): MqHeader {
  const flags = bytes.readUInt8(1);
  const producerId = bytes.readBigUInt64BE(2);
  const epoch = bytes.readUInt16BE(10);
  const sequence = bytes.readUIntBE(12, 6);
  return {
    version: bytes.readUInt8(0),
    flags,
    producerId,
    epoch,
    sequence,
    originNode: bytes.readBigUInt64BE(18),
    acceptedMs: Number(bytes.readBigUInt64BE(26)),
    dueMs: flags & 1 ? Number(bytes.readBigUInt64BE(34)) : undefined,
    id: `${producerId.toString(16).padStart(16, '0')}-${epoch}-${sequence}`,
  };
}
