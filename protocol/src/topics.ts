import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Opcode } from './generated.ts';
import { decodeMap } from './map-body.ts';
import {
  integerField,
  mapsField,
  optionalInteger,
  optionalString,
  optionalStringMap,
  stringField,
} from './map-fields.ts';
import { readRequest, writeMap } from './map-frame.ts';
import { checkTopicName } from './open-topic.ts';

export interface CreateTopic {
  readonly name: string;
  /** Absent: the node's default. */
  readonly partitions?: number;
  readonly replicationFactor?: number;
  /** The backend's own names and values. */
  readonly config?: Readonly<Record<string, string>>;
}

export interface TopicPartition {
  readonly partition: number;
  /** First offset still held. */
  readonly startOffset: number;
  /** Offset that the next message will take. */
  readonly endOffset: number;
  /** Broker id; absent when there is none. */
  readonly leader?: number;
}

export interface TopicDescription {
  readonly name: string;
  readonly partitions: readonly TopicPartition[];
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly messageBytesMax: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface ListTopics {
  readonly prefix?: string;
  /** Go on after this name: the last one of an answer that said `more`. */
  readonly after?: string;
}

export interface TopicList {
  /** By rising name. */
  readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  /** The list was cut to fit a frame; ask again with `after`. */
  readonly more?: boolean;
}

// [P-5.2] create-topic := map { name, partitions?, replicationFactor?, config? }
//         answer := description

export function encodeCreateTopic(
  writer: FrameWriter,
  correlationId: number,
  topic: CreateTopic,
): void {
  checkTopicName(topic.name);
  writeMap(writer, Opcode.CREATE_TOPIC, correlationId, { ...topic });
}

/** @throws ProtocolError MALFORMED, INVALID_ARGUMENT, INVALID_TOPIC */
export function decodeCreateTopic(frame: Frame): CreateTopic {
  const map = readRequest(frame, 'CREATE_TOPIC', [
    'name',
    'partitions',
    'replicationFactor',
    'config',
  ]);
  const name = stringField(map, 'name');
  checkTopicName(name);
  return {
    name,
    partitions: optionalInteger(map, 'partitions', 1),
    replicationFactor: optionalInteger(map, 'replicationFactor', 1),
    config: optionalStringMap(map, 'config'),
  };
}

// [P-5.3] describe-topic := map { name }    answer := description

export function encodeDescribeTopic(
  writer: FrameWriter,
  correlationId: number,
  name: string,
): void {
  checkTopicName(name);
  writeMap(writer, Opcode.DESCRIBE_TOPIC, correlationId, { name });
}

/** @throws ProtocolError MALFORMED, INVALID_ARGUMENT, INVALID_TOPIC */
export function decodeDescribeTopic(frame: Frame): string {
  const name = stringField(readRequest(frame, 'DESCRIBE_TOPIC', ['name']), 'name');
  checkTopicName(name);
  return name;
}

/** Writes the answer to CREATE_TOPIC or DESCRIBE_TOPIC, as `opcode` says. */
export function encodeTopicDescription(
  writer: FrameWriter,
  opcode: number,
  correlationId: number,
  topic: TopicDescription,
): void {
  writeMap(writer, opcode | ANSWER, correlationId, { ...topic });
}

export function decodeTopicDescription(frame: Frame): TopicDescription {
  const map = decodeMap(frame.body, 'topic description');
  return {
    name: stringField(map, 'name'),
    partitions: mapsField(map, 'partitions').map((partition) => ({
      partition: integerField(partition, 'partition'),
      startOffset: integerField(partition, 'startOffset'),
      endOffset: integerField(partition, 'endOffset'),
      leader: optionalInteger(partition, 'leader'),
    })),
    replicationFactor: integerField(map, 'replicationFactor'),
    minInsyncReplicas: integerField(map, 'minInsyncReplicas'),
    messageBytesMax: integerField(map, 'messageBytesMax'),
    config: optionalStringMap(map, 'config') ?? {},
  };
}

// [P-5.4] list-topics := map { prefix?, after? }
//         answer := map { topics: [{ name, partitions }], more? }

export function encodeListTopics(
  writer: FrameWriter,
  correlationId: number,
  list: ListTopics,
): void {
  writeMap(writer, Opcode.LIST_TOPICS, correlationId, { ...list });
}

/** @throws ProtocolError MALFORMED, INVALID_ARGUMENT */
export function decodeListTopics(frame: Frame): ListTopics {
  const map = readRequest(frame, 'LIST_TOPICS', ['prefix', 'after']);
  return { prefix: optionalString(map, 'prefix'), after: optionalString(map, 'after') };
}

export function encodeTopicList(writer: FrameWriter, correlationId: number, list: TopicList): void {
  writeMap(writer, Opcode.LIST_TOPICS | ANSWER, correlationId, { ...list });
}

export function decodeTopicList(frame: Frame): TopicList {
  const map = decodeMap(frame.body, 'answer to LIST_TOPICS');
  const topics = mapsField(map, 'topics').map((topic) => ({
    name: stringField(topic, 'name'),
    partitions: integerField(topic, 'partitions', 1),
  }));
  return { topics, more: map['more'] === true };
}
