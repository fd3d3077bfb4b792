import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import {
  CANCEL_SERIES,
  LIST_SERIES,
  SCHEDULE_SERIES,
  type ScheduleSeries,
} from '../../../protocol/src/series.ts';
import type { SeriesRequest } from '../../delay/series-commands.ts';
import type { SeriesDesk } from '../../delay/series-desk.ts';
import { firingHeaderBytes } from '../../delay/series-record.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

const LIST_DEFAULT = 100;

// [P-14.7] Takes the rights of OPEN_TOPIC and PRODUCE on its topic; to replace a series, also on
// that one's.
export const scheduleSeries: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = owned(SCHEDULE_SERIES.decode(frame));
  const { topic } = request;
  const commands = commandsOf(context);
  mustProduce(session, topic);
  const { description } = await context.topics.open(topic, allows(session.access, 'create', topic));
  checkSize(context, request, context.topics.messageBytesMax(description));
  const answer = await commands.schedule(request, (other) => mustProduce(session, other));
  return (writer) => SCHEDULE_SERIES.encodeAnswer(writer, correlationId, answer);
};

// [P-14.8]
export const cancelSeries: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { series, number } = CANCEL_SERIES.decode(frame);
  const commands = commandsOf(context);
  const mayChange = (topic: string) => mustProduce(session, topic);
  const outcome =
    number === undefined
      ? await commands.cancel(series, mayChange)
      : await commands.cancelFiring(series, number, mayChange);
  return (writer) => CANCEL_SERIES.encodeAnswer(writer, correlationId, { outcome });
};

// [P-14.9]
export const listSeries: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { limit = LIST_DEFAULT, ...query } = LIST_SERIES.decode(frame);
  const { access } = session;
  const mayRead = (topic: string) =>
    allows(access, 'consume', topic) || allows(access, 'produce', topic);
  const page = await commandsOf(context).list({ ...query, limit, mayRead });
  return (writer) => LIST_SERIES.encodeAnswer(writer, correlationId, page);
};

function commandsOf(context: NodeContext): SeriesDesk {
  const commands = context.series;
  if (commands !== undefined) return commands;
  const words = 'this node has no delay role: delay.enabled is false';
  throw new ProtocolError(ErrorCode.NOT_SUPPORTED, words);
}

function mustProduce(session: Session, topic: string): void {
  if (allows(session.access, 'produce', topic)) return;
  const words = `${session.access?.name ?? 'nobody'} may not produce to topic ${topic}`;
  throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
}

/** The frame, from which key and value are borrowed, is gone after the first await. */
function owned({ key, value, ...rest }: ScheduleSeries): SeriesRequest {
  return {
    ...rest,
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    value: value === null ? null : Buffer.from(value),
  };
}

function checkSize(context: NodeContext, request: SeriesRequest, most: number): void {
  const { keyBytesMax } = context.limits;
  const { series = '', key, value } = request;
  const keyBytes = key?.length ?? 0;
  const bytes = keyBytes + (value?.length ?? 0) + firingHeaderBytes(series);
  if (keyBytes <= keyBytesMax && bytes <= most) return;
  const words =
    keyBytes > keyBytesMax
      ? `the key has ${keyBytes} bytes, at most ${keyBytesMax}`
      : `the message would have ${bytes} bytes with its headers, at most ${most}`;
  throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, words);
}
