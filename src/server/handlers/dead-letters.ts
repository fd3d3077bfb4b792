import {
  type DeadFilter,
  type DeadLettersOf,
  LIST_DEAD,
  PURGE_DEAD,
  REDRIVE_DEAD,
} from '../../../protocol/src/dead-letters.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { Handler } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

// [P-13.6] LIST_DEAD: who may read the topic may read what died of it.
export const listDead: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = LIST_DEAD.decode(frame);
  authorize(session, request, ['consume']);
  const page = await context.deadLetters.list({ ...request, filter: owned(request.filter) });
  return (writer) => LIST_DEAD.encodeAnswer(writer, correlationId, page);
};

// [P-13.7] REDRIVE_DEAD: puts records into the topic, so it takes the right to produce, too.
export const redriveDead: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = REDRIVE_DEAD.decode(frame);
  if (!('job' in request)) authorize(session, request, both);
  const asked = 'job' in request ? request : { ...request, filter: owned(request.filter) };
  const maySee = (of: DeadLettersOf): boolean => has(session, of, both);
  const progress = await context.deadLetters.redrive(asked, maySee);
  return (writer) => REDRIVE_DEAD.encodeAnswer(writer, correlationId, progress);
};

// [P-13.8] PURGE_DEAD
export const purgeDead: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = PURGE_DEAD.decode(frame);
  authorize(session, request, both);
  const done = await context.deadLetters.purge({ ...request, filter: owned(request.filter) });
  return (writer) => PURGE_DEAD.encodeAnswer(writer, correlationId, done);
};

type Rights = readonly ('consume' | 'produce')[];

const both: Rights = ['consume', 'produce'];

function has({ access }: Session, { topic }: DeadLettersOf, rights: Rights): boolean {
  return rights.every((right) => allows(access, right, topic));
}

function authorize(session: Session, of: DeadLettersOf, rights: Rights): void {
  if (has(session, of, rights)) return;
  const words = `${session.access?.name ?? 'nobody'} has no such right on topic ${of.topic}`;
  throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
}

/** The frame, from which the key is borrowed, is gone after the first await. */
function owned(filter: DeadFilter | undefined): DeadFilter | undefined {
  if (filter?.key === undefined) return filter;
  return { ...filter, key: Buffer.from(filter.key) };
}
