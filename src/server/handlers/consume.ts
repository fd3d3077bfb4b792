import { decodeCredit } from '../../../protocol/src/credit.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import { decodeSubscribe, encodeSubscribed } from '../../../protocol/src/subscribe.ts';
import { decodeUnsubscribe, encodeUnsubscribed } from '../../../protocol/src/unsubscribe.ts';
import { limits } from '../../base/limits.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

/** Takes a frame at once; the answer, if there is one, is written by whoever has it. */
export type SettleHandler = (context: NodeContext, session: Session, frame: Frame) => void;

// [P-12.2] SUBSCRIBE: joins a group; what it names must be there, or be makeable.
export const subscribe: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const asked = decodeSubscribe(frame);
  for (const name of asked.topics ?? [asked.prefix ?? '']) {
    if (allows(session.access, 'consume', name)) continue;
    const what = asked.topics === undefined ? `topics ${name}…` : `topic ${name}`;
    throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to read ${what}`);
  }
  for (const name of asked.topics ?? []) {
    const mayCreate =
      allows(session.access, 'produce', name) && allows(session.access, 'create', name);
    await context.topics.open(name, mayCreate);
  }
  await context.consume.check();
  if (session.abort.signal.aborted) {
    throw new ProtocolError(ErrorCode.UNKNOWN, 'the connection has gone');
  }
  const answer = context.consume.subscribe(session, asked);
  return (writer) => encodeSubscribed(writer, correlationId, answer);
};

// [P-12.5]
export const unsubscribe: Handler = (context, session, frame) => {
  const { correlationId } = frame;
  context.consume.unsubscribe(session.id, decodeUnsubscribe(frame));
  return (writer) => encodeUnsubscribed(writer, correlationId);
};

// [P-12.6] CREDIT: no answer when it was taken.
export const credit: SettleHandler = (context, session, frame) => {
  const { subscription, messages, bytes } = decodeCredit(frame);
  context.consume.credit(session.id, subscription, { messages, bytes });
};

// [P-12.9] to [P-12.13] ACK, NACK, EXTEND, COMMIT: a valid token counts from any connection. Those
// that wait for a commit, or for the name of an owner, are bounded, however long that takes.
export const settled: SettleHandler = (context, session, frame) => {
  session.settles++;
  try {
    context.consume.settle(frame, (bytes) => {
      session.settles--;
      session.write(bytes);
      session.release('settle');
    });
  } catch (error) {
    session.settles--;
    throw error;
  }
  if (session.settles >= limits.settlesPerConnectionMax) session.hold('settle');
};
