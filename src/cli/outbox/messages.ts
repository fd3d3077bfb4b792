import { BodyReader } from '../../../protocol/src/body-reader.ts';
import { BatchRecordFlag } from '../../../protocol/src/generated.ts';
import { readHeaders } from '../../../protocol/src/message-headers.ts';
import { formatMessageId } from '../../../protocol/src/message-id.ts';
import type { AsideEntry, AsideName, LaneStore, StoredBatch } from '../../store/lane-store.ts';
import type { PrintableRecord } from '../record.ts';

const readBytesMax = 4 * 2 ** 20;
const recordHeadBytes = 8;

/** A message that waits in an outbox, was parked, or was refused for good. */
export interface OutboxMessage extends PrintableRecord {
  readonly state: 'waiting' | AsideName;
  /** The lane's sequence. */
  readonly sequence: number;
  readonly code?: string;
  readonly reason?: string;
}

/** Every message of a lane that is not confirmed, in order. */
export async function* waitingMessages(store: LaneStore): AsyncGenerator<OutboxMessage> {
  let from = store.floor;
  while (from < store.nextSequence) {
    const { batches, nextSequence } = await store.readBatches(from, readBytesMax);
    for (const batch of batches) yield* messagesOf(batch, store);
    if (nextSequence <= from) return;
    from = nextSequence;
  }
}

/** Every message of a lane in one of the logs beside the outbox. */
export async function* asideMessages(
  store: LaneStore,
  log: AsideName,
): AsyncGenerator<OutboxMessage> {
  for await (const entry of store.aside.entries(log)) yield asideMessage(log, entry);
}

/** An entry of such a log as people read it. */
export function asideMessage(log: AsideName, entry: AsideEntry): OutboxMessage {
  const { producerId, epoch, producerSequence, sequence, code, reason } = entry;
  return {
    ...bodyOf(entry.flags, entry.body),
    topic: entry.topic,
    timestampMs: entry.acceptedMs,
    id: formatMessageId({ producerId, epoch, sequence: producerSequence }),
    state: log,
    sequence,
    code,
    reason,
  };
}

// payload := record*   record := bodyLength:u32le topic:u16le flags:u8 reserved:u8 body
function* messagesOf(batch: StoredBatch, store: LaneStore): Generator<OutboxMessage> {
  const { header, payload, firstSequence } = batch;
  const topics = new Map(header.topics.map(({ id, name }) => [id, name]));
  let at = 0;
  let ordinal = 0;
  for (const { producerId, epoch, count, firstSequence: own } of header.segments) {
    for (let i = 0; i < count && at < payload.length; i++, ordinal++) {
      const end = at + recordHeadBytes + payload.readUInt32LE(at);
      const topicId = payload.readUInt16LE(at + 4);
      const body = payload.subarray(at + recordHeadBytes, end);
      const flags = payload[at + 6] ?? 0;
      at = end;
      const sequence = firstSequence + ordinal;
      if (store.isConfirmed(sequence)) continue;
      yield {
        ...bodyOf(flags, body),
        topic: topics.get(topicId) ?? `#${topicId}`,
        timestampMs: header.acceptedMs,
        id: formatMessageId({ producerId, epoch, sequence: own + i }),
        state: 'waiting',
        sequence,
      };
    }
  }
}

// body := [partition:u32] [keyLength:u16 key] [headersLength:u16 headers] value
/** Reads the wire body of a message behind its sequence. */
export function bodyOf(
  flags: number,
  body: Buffer,
): Pick<PrintableRecord, 'partition' | 'key' | 'headers' | 'value'> {
  const reader = new BodyReader(body, 'outbox record');
  const has = (flag: number) => (flags & flag) !== 0;
  const partition = has(BatchRecordFlag.PARTITION) ? reader.u32('partition') : undefined;
  const key = has(BatchRecordFlag.KEY) ? reader.bytes(reader.u16('keyLength'), 'key') : null;
  const headers = has(BatchRecordFlag.HEADERS)
    ? readHeaders(reader.bytes(reader.u16('headersLength'), 'headers'))
    : [];
  const value = has(BatchRecordFlag.NULL_VALUE) ? null : reader.rest();
  return {
    partition,
    key,
    headers: headers.map((header) => [header.name, header.value] as const),
    value,
  };
}
