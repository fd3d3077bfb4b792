import assert from 'node:assert';
import { coded } from '../base/errors.ts';
import type { BatchHeader, BatchSegment } from './batch-header.ts';
import type { AsideEntry, Refusal } from './lane-store.ts';

const RECORD_HEAD_BYTES = 8;

// entry := jsonLength:u32be json body        (sealed by the store)
// json carries everything but the body; the producer id as a decimal string.

export function encodeUndeliverable(entry: AsideEntry): Buffer {
  const { body, producerId, ...rest } = entry;
  const json = Buffer.from(JSON.stringify({ ...rest, producerId: producerId.toString() }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, body]);
}

export function decodeUndeliverable(bytes: Buffer): AsideEntry {
  const end = 4 + bytes.readUInt32BE(0);
  const json = JSON.parse(bytes.toString('utf8', 4, end)) as Omit<AsideEntry, 'producerId'> & {
    producerId: string;
  };
  return { ...json, producerId: BigInt(json.producerId), body: bytes.subarray(end) };
}

/** One record of an outbox payload. */
export interface PayloadRecord {
  readonly topicId: number;
  readonly flags: number;
  /** *Borrowed* from the payload. */
  readonly body: Buffer;
}

// payload := record*        record := bodyLength:u32le topic:u16le flags:u8 reserved:u8 body

/** The records of an outbox payload, in order. Throws `STORE_CORRUPT`. */
export function* payloadRecords(payload: Buffer): Generator<PayloadRecord> {
  for (let at = 0; at < payload.length; ) {
    const bodyAt = at + RECORD_HEAD_BYTES;
    const end = bodyAt <= payload.length ? bodyAt + payload.readUInt32LE(at) : payload.length + 1;
    if (end > payload.length) {
      throw coded('STORE_CORRUPT', `expected whole records, found one cut at byte ${at}`);
    }
    const topicId = payload.readUInt16LE(at + 4);
    yield { topicId, flags: payload.readUInt8(at + 6), body: payload.subarray(bodyAt, end) };
    at = end;
  }
}

/** The records of an outbox payload with their heads, each *borrowed* from it. */
export function payloadSlices(payload: Buffer): Buffer[] {
  const slices: Buffer[] = [];
  let at = 0;
  for (const { body } of payloadRecords(payload)) {
    const end = at + RECORD_HEAD_BYTES + body.length;
    slices.push(payload.subarray(at, end));
    at = end;
  }
  return slices;
}

/** Goes through one batch from its first message on, so that each record is looked at once. */
export class BatchCursor {
  readonly #header: BatchHeader;
  readonly #records: Generator<PayloadRecord>;
  readonly #topicNames: ReadonlyMap<number, string>;
  #record: PayloadRecord | undefined;
  #ordinal = -1;
  #segment = 0;
  /** Messages of the segments before. */
  #before = 0;

  constructor(header: BatchHeader, payload: Buffer) {
    this.#header = header;
    this.#records = payloadRecords(payload);
    this.#topicNames = new Map(header.topics.map(({ id, name }) => [id, name]));
  }

  holds(sequence: number): boolean {
    const { firstSequence, messages } = this.#header;
    return sequence >= firstSequence && sequence < firstSequence + messages;
  }

  /**
   * The entry for one message, none before that of the last call; its body is *borrowed* from the
   * payload. @throws STORE_CORRUPT
   */
  entryOf(refusal: Refusal, failedMs: number): AsideEntry {
    const { firstSequence, acceptedMs } = this.#header;
    const ordinal = refusal.sequence - firstSequence;
    const record = this.#recordAt(ordinal);
    const segment = this.#segmentAt(ordinal);
    if (record === undefined || segment === undefined) {
      const words = `expected sequence ${refusal.sequence} in its batch, found none`;
      throw coded('STORE_CORRUPT', words);
    }
    return {
      ...refusal,
      failedMs,
      acceptedMs,
      producerId: segment.producerId,
      epoch: segment.epoch,
      producerSequence: segment.firstSequence + (ordinal - this.#before),
      topic: this.#topicNames.get(record.topicId) ?? `#${record.topicId}`,
      flags: record.flags,
      body: record.body,
    };
  }

  #recordAt(ordinal: number): PayloadRecord | undefined {
    assert(ordinal >= this.#ordinal, 'a cursor goes forward');
    for (; this.#ordinal < ordinal; this.#ordinal++) this.#record = this.#records.next().value;
    return this.#record;
  }

  #segmentAt(ordinal: number): BatchSegment | undefined {
    const { segments } = this.#header;
    let segment = segments[this.#segment];
    while (segment !== undefined && ordinal >= this.#before + segment.count) {
      this.#before += segment.count;
      segment = segments[++this.#segment];
    }
    return segment;
  }
}
