import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { decodeOpenTopic, encodeOpenTopicAnswer } from '../../../protocol/src/open-topic.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import {
  decodeCreateTopic,
  decodeDescribeTopic,
  decodeListTopics,
  encodeTopicDescription,
  encodeTopicList,
} from '../../../protocol/src/topics.ts';
import type { TopicDescription } from '../../backend/port.ts';
import { checkTopicName } from '../../backend/topic-name.ts';
import { refusedTopic } from '../../produce/lane-options.ts';
import type { Handler, NodeContext, WriteAnswer } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

/** Topics in one answer to LIST_TOPICS, and what one takes there at most, in bytes. */
const LIST_MAX = 1_000;
const LISTED_BYTES = 300;

// [P-5.1] OPEN_TOPIC: the topic gets an id on this connection.
export const openTopic: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { name, isExisting } = decodeOpenTopic(frame);
  const mayProduce = allows(session.access, 'produce', name);
  if (!mayProduce && !allows(session.access, 'consume', name)) throw notAuthorized(session, name);
  const mayCreate = !isExisting && mayProduce && allows(session.access, 'create', name);
  const topic = await context.topics.open(name, mayCreate);
  const topicId = session.openTopic(name, mayProduce ? topic.id : refusedTopic.notAuthorized);
  if (topicId === 0) {
    const words = `this connection has opened ${context.limits.topicsPerConnectionMax} topics`;
    throw new ProtocolError(ErrorCode.TOO_MANY_TOPICS, words);
  }
  const { description } = topic;
  return (writer) => {
    encodeOpenTopicAnswer(writer, correlationId, {
      topicId,
      name,
      partitions: description.partitions,
      messageBytesMax: context.topics.messageBytesMax(description),
      replicationFactor: description.replicationFactor,
      minInsyncReplicas: description.minInsyncReplicas,
      ack: context.ackLevels,
      warnings: warningsOf(context, description),
    });
  };
};

// [P-5.2]
export const createTopic: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = decodeCreateTopic(frame);
  checkTopicName(request.name);
  if (!allows(session.access, 'create', request.name)) throw notAuthorized(session, request.name);
  const made = await context.backend.createTopic(request);
  await context.topics.open(request.name, false);
  return answerDescription(context, Opcode.CREATE_TOPIC, correlationId, made);
};

// [P-5.3]
export const describeTopic: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const name = decodeDescribeTopic(frame);
  checkTopicName(name);
  const seen = allows(session.access, 'consume', name) || allows(session.access, 'produce', name);
  if (!seen) throw notAuthorized(session, name);
  const found = await context.backend.describeTopic(name);
  if (found === undefined) {
    throw new ProtocolError(ErrorCode.UNKNOWN_TOPIC, `there is no topic ${name}`);
  }
  return answerDescription(context, Opcode.DESCRIBE_TOPIC, correlationId, found);
};

// [P-5.4]
export const listTopics: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { prefix = '', after = '' } = decodeListTopics(frame);
  const all = await context.backend.listTopics(prefix);
  const seen = all.filter(
    ({ name }) =>
      name > after &&
      (allows(session.access, 'consume', name) || allows(session.access, 'produce', name)),
  );
  const room = Math.floor(context.limits.frameBytesMax / LISTED_BYTES) - 1;
  const topics = seen.slice(0, Math.min(LIST_MAX, room));
  const more = seen.length > topics.length;
  return (writer) => encodeTopicList(writer, correlationId, { topics, more });
};

/** What weakens the answers of a topic, in words. */
export function warningsOf(context: NodeContext, topic: TopicDescription): string[] {
  if (context.backend.kind === 'embedded') {
    return ['the embedded log keeps one copy: the loss of this disk loses its messages'];
  }
  const warnings: string[] = [];
  if (topic.replicationFactor < 2) {
    warnings.push(
      `replication factor ${topic.replicationFactor}: one broker's loss loses messages`,
    );
  }
  if (topic.minInsyncReplicas < 2) {
    const words = `min.insync.replicas ${topic.minInsyncReplicas}: replicated may mean one copy`;
    warnings.push(words);
  }
  return warnings;
}

async function answerDescription(
  context: NodeContext,
  opcode: number,
  correlationId: number,
  topic: TopicDescription,
): Promise<WriteAnswer> {
  const partitions = await context.backend.offsets(topic.name);
  return (writer) => {
    encodeTopicDescription(writer, opcode, correlationId, {
      name: topic.name,
      partitions,
      replicationFactor: topic.replicationFactor,
      minInsyncReplicas: topic.minInsyncReplicas,
      messageBytesMax: context.topics.messageBytesMax(topic),
      config: topic.config,
    });
  };
}

function notAuthorized(session: Session, topic: string): ProtocolError {
  const words = `${session.access?.name ?? 'nobody'} has no such right on topic ${topic}`;
  return new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
}
