import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, ErrorCode, Opcode, OpenTopicFlag, PROTOCOL_LIMIT } from './generated.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { integerField, stringField, stringsField } from './map-fields.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** What a client learns of a topic that it opened. */
export interface OpenedTopic {
  /** Names the topic in this connection's frames: 1 to 65,535. */
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  /** Largest message (key + headers + value), bytes. */
  readonly messageBytesMax: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  /** Answers that can be asked for: `stored`, `replicated`. */
  readonly ack: readonly string[];
  /** Sentences for a person, such as a replication factor of 1. */
  readonly warnings: readonly string[];
}

/** What OPEN_TOPIC asks for. */
export interface OpenTopic {
  readonly name: string;
  /** For one who reads: where there is none it is UNKNOWN_TOPIC, though the node makes topics. */
  readonly isExisting: boolean;
}

const NAME = /^[A-Za-z0-9._-]+$/;

// [P-5.1] open-topic := name (UTF-8, 1–249 of A–Z a–z 0–9 . _ -)
//         flags: EXISTING
//         answer := map; the id is in the frame's topic field

export function encodeOpenTopic(
  writer: FrameWriter,
  correlationId: number,
  { name, isExisting }: OpenTopic,
): void {
  checkTopicName(name);
  writer.begin(Opcode.OPEN_TOPIC, isExisting ? OpenTopicFlag.EXISTING : 0, 0, correlationId);
  writer.utf8(name);
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED (not UTF-8), INVALID_TOPIC */
export function decodeOpenTopic(frame: Frame): OpenTopic {
  checkFlags(frame.flags, OpenTopicFlag.EXISTING, 'OPEN_TOPIC');
  const name = new BodyReader(frame.body, 'OPEN_TOPIC').text(frame.body.length, 'name');
  checkTopicName(name);
  return { name, isExisting: (frame.flags & OpenTopicFlag.EXISTING) !== 0 };
}

export function encodeOpenTopicAnswer(
  writer: FrameWriter,
  correlationId: number,
  topic: OpenedTopic,
): void {
  const { topicId, ...map } = topic;
  writer.begin(Opcode.OPEN_TOPIC | ANSWER, 0, topicId, correlationId);
  writer.bytes(encodeMap(map));
  writer.end();
}

export function decodeOpenTopicAnswer(frame: Frame): OpenedTopic {
  if (frame.topic === 0) throw malformed('answer to OPEN_TOPIC: topic id 0');
  const map = decodeMap(frame.body, 'answer to OPEN_TOPIC');
  return {
    topicId: frame.topic,
    name: stringField(map, 'name'),
    partitions: integerField(map, 'partitions', 1),
    messageBytesMax: integerField(map, 'messageBytesMax'),
    replicationFactor: integerField(map, 'replicationFactor'),
    minInsyncReplicas: integerField(map, 'minInsyncReplicas'),
    ack: stringsField(map, 'ack'),
    warnings: stringsField(map, 'warnings'),
  };
}

/**
 * [P-5.5] Kafka's rule for names. Names beginning with `__` are a node's own: it refuses them to
 * clients.
 * @throws ProtocolError INVALID_TOPIC
 */
export function checkTopicName(name: string): void {
  const good = name.length <= PROTOCOL_LIMIT.topicNameBytesMax && NAME.test(name);
  if (!good || name === '.' || name === '..') {
    throw new ProtocolError(
      ErrorCode.INVALID_TOPIC,
      `a topic's name has 1 to ${PROTOCOL_LIMIT.topicNameBytesMax} of A-Za-z0-9._-, is not . or ..`,
    );
  }
}
