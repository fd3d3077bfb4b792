import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import {
  type TailRequest as AskedTail,
  beginTailAnswer,
  decodeTail,
  TAIL_ANSWER_BYTES,
} from '../../../protocol/src/tail.ts';
import { type TailFrom, type TailRequest, type TailResult, tailFrom } from '../../backend/port.ts';
import { limits } from '../../base/limits.ts';
import type { Handler } from '../handler.ts';
import type { Session } from '../session.ts';
import { allows } from '../tokens.ts';

/** Most bytes of an answer that was waited for; the next request brings the rest. */
const POLL_BYTES_MAX = 64 * 1024;

// [P-7.1] TAIL: a long poll of one partition.
export const tail: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const request = decodeTail(frame);
  const topic = session.topicNames[request.topic];
  if (topic === undefined || topic === '') {
    const words = `topic id ${request.topic} was not opened on this connection`;
    throw new ProtocolError(ErrorCode.TOPIC_NOT_OPEN, words);
  }
  if (!allows(session.access, 'consume', topic)) {
    throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, `no right to read topic ${topic}`);
  }
  const bytesMax = Math.min(request.bytesMax, context.limits.tailBytesMax);
  const asked = { ...request, bytesMax };
  const read = (more: Partial<TailRequest>): Promise<TailResult> =>
    context.backend.tail({
      topic,
      partition: request.partition,
      from: request.from as TailFrom,
      position: request.position,
      bytesMax,
      waitMs: Math.min(request.waitMs, limits.tailWaitMsMax),
      signal: session.abort.signal,
      ...more,
    });
  const found =
    context.backend.kind === 'embedded'
      ? await readLog(session, asked, read)
      : // A fetch from Kafka takes its time even when there is something; its pool is bounded.
        await inTurn(session, async () => {}).then(() => read({}));
  checkSize(found, { topic, frameBytesMax: context.limits.frameBytesMax });
  return (writer) => {
    beginTailAnswer(writer, correlationId, found);
    writer.bytes(found.records);
    writer.end();
  };
};

/** One record comes however long it is: others write to Kafka too, and limits may be lowered. */
function checkSize(
  { partition, records }: TailResult,
  { topic, frameBytesMax }: { readonly topic: string; readonly frameBytesMax: number },
): void {
  if (records.length <= frameBytesMax - TAIL_ANSWER_BYTES) return;
  const { buffer, byteOffset, byteLength } = records;
  const offset = new DataView(buffer, byteOffset, byteLength).getBigUint64(4);
  const words =
    `topic ${topic}, partition ${partition}: the record at offset ${offset} has ` +
    `${records.length} bytes, more than a frame of ${frameBytesMax} carries; read on from ${offset + 1n}`;
  throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, words);
}

/** Reads at once in turn; where there is nothing yet, waits, which takes no turn. */
async function readLog(
  session: Session,
  asked: AskedTail,
  read: (more: Partial<TailRequest>) => Promise<TailResult>,
): Promise<TailResult> {
  const found = await inTurn(session, () => read({ waitMs: 0 }));
  if (found.count > 0 || asked.waitMs === 0) return found;
  // Goes on where the first look ended, so that nothing comes between the two.
  const bytesMax = Math.min(asked.bytesMax, POLL_BYTES_MAX);
  return read({ from: tailFrom.offset, position: found.nextOffset, bytesMax });
}

/** Reads when it is this connection's turn: when it has read enough of what it got before. */
async function inTurn<T>(session: Session, read: () => Promise<T>): Promise<T> {
  if (!(await session.reads.enter())) {
    throw new ProtocolError(ErrorCode.UNKNOWN, 'the connection has gone');
  }
  try {
    return await read();
  } finally {
    session.reads.leave();
  }
}
