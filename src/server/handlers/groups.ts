import { ErrorCode } from '../../../protocol/src/generated.ts';
import {
  DELETE_GROUP,
  DESCRIBE_GROUP,
  LIST_GROUPS,
  PAUSE_GROUP,
  RESET_GROUP,
  RESUME_GROUP,
} from '../../../protocol/src/groups.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { Asker } from '../../consume/group-admin.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows, fullAccess } from '../tokens.ts';

const ANYONE = fullAccess.name;

// [P-13.1]
export const listGroups: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { prefix = '', after = '' } = LIST_GROUPS.decode(frame);
  const answer = await context.groups.list(prefix, after, askerOf(session));
  return (writer) => LIST_GROUPS.encodeAnswer(writer, correlationId, answer);
};

// [P-13.2]
export const describeGroup: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { group } = DESCRIBE_GROUP.decode(frame);
  const found = await context.groups.describe(group, askerOf(session));
  return (writer) => DESCRIBE_GROUP.encodeAnswer(writer, correlationId, found);
};

// [P-13.3]
export const pauseGroup: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { group } = PAUSE_GROUP.decode(frame);
  await checkRight(context, session, group);
  const who = session.access?.name ?? ANYONE;
  const by = who === ANYONE && session.name !== '' ? session.name : who;
  await context.groups.pause(group, { by, from: session.peer });
  return (writer) => PAUSE_GROUP.encodeAnswer(writer, correlationId, {});
};

export const resumeGroup: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { group } = RESUME_GROUP.decode(frame);
  await checkRight(context, session, group);
  context.groups.resume(group);
  return (writer) => RESUME_GROUP.encodeAnswer(writer, correlationId, {});
};

// [P-13.4]
export const resetGroup: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const asked = RESET_GROUP.decode(frame);
  if (!allows(session.access, 'consume', asked.topic)) throw noRight(asked.topic);
  const answer = await context.groups.reset(asked);
  return (writer) => RESET_GROUP.encodeAnswer(writer, correlationId, answer);
};

// [P-13.5]
export const deleteGroup: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { group } = DELETE_GROUP.decode(frame);
  await checkRight(context, session, group);
  await context.groups.delete(group);
  return (writer) => DELETE_GROUP.encodeAnswer(writer, correlationId, {});
};

function askerOf({ access }: Session): Asker {
  return { mayRead: (topic) => allows(access, 'consume', topic) };
}

/** Who changes a group must be allowed to read all of its topics. @throws UNKNOWN_GROUP */
async function checkRight(context: NodeContext, session: Session, group: string): Promise<void> {
  // Who may read everything may do so while the cluster cannot be asked.
  if (allows(session.access, 'consume', '')) return;
  const { partitions } = await context.groups.describe(group);
  for (const topic of [...context.groups.topicsOf(group), ...partitions.map((p) => p.topic)]) {
    if (!allows(session.access, 'consume', topic)) throw noRight(topic);
  }
}

function noRight(topic: string): ProtocolError {
  return new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to read topic ${topic}`);
}
