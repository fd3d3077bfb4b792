import {
  type DeadHeader,
  decodeDeadHeader,
  encodeDeadHeader,
} from '../../protocol/src/dead-header.ts';
import {
  delayIdOfKey,
  delayIdOfMessage,
  delayIdOfSeries,
  formatDelayId,
  parseDelayId,
} from '../../protocol/src/delay-id.ts';
import {
  type DelayTarget,
  decodeDelayTarget,
  encodeDelayTarget,
} from '../../protocol/src/delay-target.ts';

import { encodeError, encodeFailure, failureOf } from '../../protocol/src/error-body.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import type { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ANSWER, Answer, Opcode, ProducedForm } from '../../protocol/src/generated.ts';
import { decodeGoaway, encodeGoaway } from '../../protocol/src/goaway.ts';
import {
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  type Hello,
  type HelloAnswer,
} from '../../protocol/src/hello.ts';
import type { MapBody } from '../../protocol/src/map-body.ts';
import type { MessageHeader } from '../../protocol/src/message-headers.ts';
import { formatMessageId, type MessageId, parseMessageId } from '../../protocol/src/message-id.ts';
import { decodeMqHeader, encodeMqHeader, type MqHeader } from '../../protocol/src/mq-header.ts';
import {
  decodeOpenTopic,
  decodeOpenTopicAnswer,
  encodeOpenTopic,
  encodeOpenTopicAnswer,
  type OpenedTopic,
  type OpenTopic,
} from '../../protocol/src/open-topic.ts';
import { decodePing, encodePing, encodePong } from '../../protocol/src/ping.ts';
import {
  decodeProduce,
  decodeProduceBatch,
  encodeProduce,
  encodeProduceBatch,
  type ProduceHead,
  type ProduceMessage,
} from '../../protocol/src/produce.ts';
import {
  beginProduced,
  ProducedEntries,
  writePlaced,
  writePlain,
  writeRefused,
  writeScheduled,
} from '../../protocol/src/produced.ts';
import {
  decodeRetryHeader,
  encodeRetryHeader,
  type RetryHeader,
} from '../../protocol/src/retry-header.ts';
import {
  decodeRuleHeader,
  encodeRuleHeader,
  type RuleHeader,
} from '../../protocol/src/rule-header.ts';
import {
  decodeStatus,
  decodeStatusAnswer,
  encodeStatus,
  encodeStatusAnswer,
} from '../../protocol/src/status.ts';
import {
  beginTailAnswer,
  decodeTail,
  encodeTail,
  type TailHead,
  type TailRecord,
  type TailRequest,
  writeTailRecord,
} from '../../protocol/src/tail.ts';
import { TailRecords } from '../../protocol/src/tail-records.ts';
import {
  type CreateTopic,
  decodeCreateTopic,
  decodeDescribeTopic,
  decodeListTopics,
  decodeTopicDescription,
  decodeTopicList,
  encodeCreateTopic,
  encodeDescribeTopic,
  encodeListTopics,
  encodeTopicDescription,
  encodeTopicList,
  type ListTopics,
  type TopicDescription,
  type TopicList,
} from '../../protocol/src/topics.ts';
import { consumeCodecs } from './consume-codecs.ts';
import { type Fields, type FrameCodec, simple } from './frame-codec.ts';
import { mapCodecs } from './map-codecs.ts';
import type { Json } from './vectors.ts';

const produced = new ProducedEntries();
const records = new TailRecords();

/** By the vectors' `type`. */
export const frameCodecs: Readonly<Record<string, FrameCodec>> = {
  error: { decode: decodeFailed, encode: encodeFailed },
  hello: simple<Hello>(decodeHello, encodeHello),
  'hello-answer': simple<HelloAnswer>(decodeHelloAnswer, encodeHelloAnswer),
  ping: simple<{ body: Buffer }>(
    (frame) => ({ body: decodePing(frame) }),
    (writer, id, { body }) => encodePing(writer, id, body),
  ),
  pong: simple<{ body: Buffer }>(
    (frame) => ({ body: decodePing(frame) }),
    (writer, correlationId, { body }) =>
      encodePong(writer, { opcode: Opcode.PING, flags: 0, topic: 0, correlationId, body }),
  ),
  goaway: {
    decode: decodeGoaway,
    encode: (writer, fields) =>
      encodeGoaway(writer, fields as unknown as { reason: number; drainMs: number }),
  },
  status: simple<object>(
    (frame) => {
      decodeStatus(frame);
      return {};
    },
    (writer, id) => encodeStatus(writer, id),
  ),
  'status-answer': simple<{ map: MapBody }>(
    (frame) => ({ map: decodeStatusAnswer(frame) }),
    (writer, id, { map }) => encodeStatusAnswer(writer, id, map),
  ),
  'open-topic': simple<OpenTopic>(decodeOpenTopic, encodeOpenTopic),
  'open-topic-answer': simple<OpenedTopic>(decodeOpenTopicAnswer, encodeOpenTopicAnswer),
  'create-topic': simple<CreateTopic>(decodeCreateTopic, encodeCreateTopic),
  'create-topic-answer': simple<TopicDescription>(decodeTopicDescription, (writer, id, topic) =>
    encodeTopicDescription(writer, Opcode.CREATE_TOPIC, id, topic),
  ),
  'describe-topic': simple<{ name: string }>(
    (frame) => ({ name: decodeDescribeTopic(frame) }),
    (writer, id, { name }) => encodeDescribeTopic(writer, id, name),
  ),
  'describe-topic-answer': simple<TopicDescription>(decodeTopicDescription, (writer, id, topic) =>
    encodeTopicDescription(writer, Opcode.DESCRIBE_TOPIC, id, topic),
  ),
  'list-topics': simple<ListTopics>(decodeListTopics, encodeListTopics),
  'list-topics-answer': simple<TopicList>(decodeTopicList, encodeTopicList),
  produce: {
    decode: decodeProduce,
    encode: (writer, fields) => {
      const message = fields as unknown as ProduceHead & ProduceMessage;
      encodeProduce(writer, message, message);
    },
  },
  'produce-batch': {
    decode: decodeProduceBatch,
    encode: (writer, fields) => {
      const batch = fields as unknown as ProduceHead & { messages: ProduceMessage[] };
      encodeProduceBatch(writer, batch, batch.messages);
    },
  },
  produced: { decode: decodeProduced, encode: encodeProduced },
  tail: simple<TailRequest>(decodeTail, encodeTail),
  'tail-answer': { decode: decodeTailAnswer, encode: encodeTailAnswer },
  ...consumeCodecs,
  ...mapCodecs,
};

/** Codecs of what is not framed: the Kafka header and the text of ids. */
export const byteCodecs: Readonly<
  Record<string, { decode(bytes: Buffer): unknown; encode(fields: unknown): Buffer }>
> = {
  'mq-header': {
    decode: decodeMqHeader,
    encode: (fields) => encodeMqHeader(fields as MqHeader),
  },
  'dead-header': {
    decode: decodeDeadHeader,
    encode: (fields) => encodeDeadHeader(fields as DeadHeader),
  },
  'retry-header': {
    decode: decodeRetryHeader,
    encode: (fields) => encodeRetryHeader(fields as RetryHeader),
  },
  'message-id': {
    decode: (bytes) => parseMessageId(bytes.toString('utf8')),
    encode: (fields) => Buffer.from(formatMessageId(fields as MessageId)),
  },
  'delay-id': {
    decode: (bytes) => ({ id: parseDelayId(bytes.toString('utf8')) }),
    encode: (fields) => Buffer.from(formatDelayId(delayIdFrom(fields as DelayIdNames))),
  },
  'mq-to': {
    decode: decodeDelayTarget,
    encode: (fields) => encodeDelayTarget(fields as DelayTarget),
  },
  'mq-rule': {
    decode: decodeRuleHeader,
    encode: (fields) => encodeRuleHeader(fields as RuleHeader),
  },
};

/** What names a delayed message; or the id itself. */
interface DelayIdNames {
  readonly message?: MessageId;
  readonly level?: boolean;
  readonly topic?: string;
  readonly key?: Buffer;
  readonly series?: string;
  readonly id: Buffer;
}

function delayIdFrom({ message, level, topic, key, series, id }: DelayIdNames): Buffer {
  if (message !== undefined) return delayIdOfMessage(message, level);
  if (series !== undefined) return delayIdOfSeries(series);
  return topic !== undefined && key !== undefined ? delayIdOfKey(topic, key) : id;
}

/** What a codec read, in the vectors' JSON: bytes as `{hex}`, bigints as 16 digits. */
export function toJson(value: unknown): Json | undefined {
  if (typeof value === 'bigint') return value.toString(16).padStart(16, '0');
  if (value instanceof Uint8Array) return bytesToJson(Buffer.from(value));
  if (Array.isArray(value)) return value.map((item) => toJson(item) ?? null);
  if (typeof value !== 'object' || value === null) return value as Json | undefined;
  const out: Record<string, Json> = {};
  for (const [key, item] of Object.entries(value)) {
    const json = toJson(item);
    if (json !== undefined) out[key] = json;
  }
  return out;
}

/** The inverse of {@link toJson}; which strings are ids is known by their key. */
export function fromJson(value: Json, key = ''): unknown {
  if (key === 'producerId' || key === 'originNode') return BigInt(`0x${value}`);
  if (Array.isArray(value)) return value.map((item) => fromJson(item));
  if (typeof value !== 'object' || value === null) return value;
  const { hex, times } = value;
  if (typeof hex === 'string') return Buffer.from(hex.repeat(Number(times ?? 1)), 'hex');
  return Object.fromEntries(Object.entries(value).map(([k, item]) => [k, fromJson(item, k)]));
}

function bytesToJson(bytes: Buffer): Json {
  const long = bytes.length > 1000 && bytes.every((byte) => byte === bytes[0]);
  if (long) return { hex: bytes.toString('hex', 0, 1), times: bytes.length };
  return { hex: bytes.toString('hex') };
}

function decodeFailed(frame: Frame): unknown {
  const { opcode, correlationId } = frame;
  const failure = failureOf(frame);
  const { code, retryAfterMs, message } = failure as NonNullable<typeof failure>;
  return { opcode, correlationId, code, retryAfterMs, message };
}

function encodeFailed(writer: FrameWriter, fields: Fields): void {
  const error = fields as unknown as { code: number; retryAfterMs: number; message: string };
  const opcode = fields['opcode'] as number;
  if (opcode === Answer.ERROR) encodeError(writer, error);
  else
    encodeFailure(writer, { opcode: opcode & ~ANSWER, correlationId: fields.correlationId }, error);
}

function decodeProduced(frame: Frame): unknown {
  produced.reset(frame);
  const entries: object[] = [];
  while (produced.next()) {
    const { form, firstCorrelationId: first, count, code, cluster, partition, offset } = produced;
    if (form === ProducedForm.PLAIN) entries.push({ first, count });
    if (form === ProducedForm.PLACED) entries.push({ first, count, cluster, partition, offset });
    if (form === ProducedForm.REFUSED) {
      entries.push({ first, count, code, detail: produced.detail });
    }
    if (form === ProducedForm.SCHEDULED) {
      entries.push({ first, count, acceptedMs: produced.acceptedMs });
    }
  }
  return { form: frame.flags, entries };
}

interface Entry {
  readonly first: number;
  readonly count: number;
  readonly code: number;
  readonly detail: number;
  readonly cluster: number;
  readonly partition: number;
  readonly offset: number;
  readonly acceptedMs: number;
}

function encodeProduced(writer: FrameWriter, fields: Fields): void {
  const form = fields['form'] as ProducedForm;
  beginProduced(writer, form);
  for (const entry of fields['entries'] as Entry[]) {
    if (form === ProducedForm.PLAIN) writePlain(writer, entry.first, entry.count);
    if (form === ProducedForm.PLACED) writePlaced(writer, entry.first, entry.count, entry);
    if (form === ProducedForm.REFUSED) writeRefused(writer, entry.first, entry.count, entry);
    if (form === ProducedForm.SCHEDULED) {
      writeScheduled(writer, entry.first, entry.count, entry.acceptedMs);
    }
  }
  writer.end();
}

function decodeTailAnswer(frame: Frame): unknown {
  records.reset(frame);
  const read: object[] = [];
  while (records.next()) {
    const { offset, timestampMs, id, key, value } = records;
    const headers: MessageHeader[] = records.headers;
    read.push({ offset, timestampMs, id, key, headers, value });
  }
  return { correlationId: frame.correlationId, ...records.head, records: read };
}

function encodeTailAnswer(writer: FrameWriter, fields: Fields): void {
  beginTailAnswer(writer, fields.correlationId, fields as unknown as TailHead);
  for (const record of fields['records'] as TailRecord[]) writeTailRecord(writer, record);
  writer.end();
}
