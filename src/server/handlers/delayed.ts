import { delayIdOfKey, parseDelayId } from '../../../protocol/src/delay-id.ts';
import {
  CANCEL_DELAYED,
  DELAY_STATS,
  type DelayedRef,
  GET_DELAYED,
  LIST_DELAYED,
  MOVE_DELAYED,
} from '../../../protocol/src/delayed.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { DelayedMessage } from '../../delay/delay-commands.ts';
import type { DelayDesk } from '../../delay/delay-desk.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

const LIST_DEFAULT = 100;

// [P-14.2]
export const getDelayed: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const delay = await find(context, session, GET_DELAYED.decode(frame));
  return (writer) => GET_DELAYED.encodeAnswer(writer, correlationId, { delay });
};

// [P-14.3]
export const listDelayed: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { limit = LIST_DEFAULT, ...query } = LIST_DELAYED.decode(frame);
  const page = await commandsOf(context).list({ ...query, limit });
  const seen = page.delays.filter(({ topic }) => mayRead(session, topic));
  return (writer) => LIST_DELAYED.encodeAnswer(writer, correlationId, { ...page, delays: seen });
};

// [P-14.4]
export const delayStats: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { topic } = DELAY_STATS.decode(frame);
  if (!mayRead(session, topic ?? '')) {
    const what = topic === undefined ? 'every topic: name one' : `topic ${topic}`;
    throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to read ${what}`);
  }
  const stats = await commandsOf(context).stats(topic);
  return (writer) => DELAY_STATS.encodeAnswer(writer, correlationId, stats);
};

// [P-14.5]
export const cancelDelayed: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const ref = CANCEL_DELAYED.decode(frame);
  const outcome = (await mayChange(context, session, ref))
    ? await commandsOf(context).cancel(idOf(ref))
    : 'notFound';
  return (writer) => CANCEL_DELAYED.encodeAnswer(writer, correlationId, { outcome });
};

// [P-14.6]
export const moveDelayed: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { dueMs: at, delayMs = 0, ...ref } = MOVE_DELAYED.decode(frame);
  const dueMs = at ?? context.clock.now() + delayMs;
  const outcome = (await mayChange(context, session, ref))
    ? await commandsOf(context).move(idOf(ref), dueMs)
    : 'notFound';
  return (writer) => MOVE_DELAYED.encodeAnswer(writer, correlationId, { outcome, dueMs });
};

function commandsOf(context: NodeContext): DelayDesk {
  const commands = context.delay;
  if (commands !== undefined) return commands;
  const words = 'this node has no delay role: delay.enabled is false';
  throw new ProtocolError(ErrorCode.NOT_SUPPORTED, words);
}

function idOf({ id, topic = '', key = '' }: DelayedRef): Buffer {
  return id === undefined ? delayIdOfKey(topic, key) : parseDelayId(id);
}

/** Who may produce to the message's topic may change it. */
async function mayChange(
  context: NodeContext,
  session: Session,
  ref: DelayedRef,
): Promise<boolean> {
  if (everything(session)) return true;
  const { topic = await commandsOf(context).topicOf(idOf(ref)) } = ref;
  if (topic === undefined) return false;
  if (allows(session.access, 'produce', topic)) return true;
  throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to change delays of topic ${topic}`);
}

async function find(
  context: NodeContext,
  session: Session,
  ref: DelayedRef,
): Promise<DelayedMessage> {
  const delay = await commandsOf(context).get(idOf(ref));
  if (delay === undefined) {
    throw new ProtocolError(ErrorCode.NOT_FOUND, 'nothing waits under this name');
  }
  if (mayRead(session, delay.topic)) return delay;
  throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to read topic ${delay.topic}`);
}

function mayRead(session: Session, topic: string): boolean {
  return allows(session.access, 'consume', topic) || allows(session.access, 'produce', topic);
}

function everything(session: Session): boolean {
  return allows(session.access, 'produce', '');
}
