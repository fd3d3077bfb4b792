import { LIST_ASIDE, PURGE_ASIDE, RETRY_ASIDE } from '../../../protocol/src/aside.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { AsideCall } from '../../lanes/lane-calls.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

const LIMIT_MAX = 1_000;

// [P-16.1] LIST_ASIDE: by topic over all lanes; messages lane by lane.
export const listAside: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { log, topic, limit, cursor } = LIST_ASIDE.decode(frame);
  authorize(session);
  const perLane = await Promise.all(
    context.lanes.map((lane) => lane.call('aside', { does: 'topics', log, topic })),
  );
  const topics = perLane.flatMap((found, lane) =>
    (found.topics ?? []).map((one) => ({ ...one, lane })),
  );
  const page = { topics, messages: [] };
  if (limit === undefined || topic === undefined) {
    return (writer) => LIST_ASIDE.encodeAnswer(writer, correlationId, page);
  }
  const [lane = 0, sequence = 0] = (cursor ?? '0/0').split('/').map(Number);
  const messagesMax = Math.min(Math.max(limit, 1), LIMIT_MAX);
  const call: AsideCall = { does: 'read', log, topic, sequence, messagesMax };
  const read = await context.lanes[lane]?.call('aside', call);
  const messages = (read?.messages ?? []).map((one) => ({ ...one, lane }));
  const next = read?.next === undefined ? [lane + 1, 0] : [lane, read.next];
  const hasMore = (next[0] ?? 0) < context.lanes.length;
  const answer = { topics, messages, ...(hasMore ? { cursor: next.join('/') } : {}) };
  return (writer) => LIST_ASIDE.encodeAnswer(writer, correlationId, answer);
};

// [P-16.2] RETRY_ASIDE
export const retryAside: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { log, topic } = RETRY_ASIDE.decode(frame);
  authorize(session);
  const messages = await ask(context, { does: 'retry', log, topic });
  return (writer) => RETRY_ASIDE.encodeAnswer(writer, correlationId, { messages });
};

// [P-16.3] PURGE_ASIDE
export const purgeAside: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { log, topic } = PURGE_ASIDE.decode(frame);
  authorize(session);
  const messages = await ask(context, { does: 'purge', log, topic });
  return (writer) => PURGE_ASIDE.encodeAnswer(writer, correlationId, { messages });
};

async function ask(context: NodeContext, call: AsideCall): Promise<number> {
  const done = await Promise.all(context.lanes.map((lane) => lane.call('aside', call)));
  return done.reduce((sum, { count = 0 }) => sum + count, 0);
}

function authorize({ access }: Session): void {
  if (allows(access, 'create', '')) return;
  const words = 'what was put aside takes the right to create every topic';
  throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
}
