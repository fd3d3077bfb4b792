import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Answer, AnswerFlag, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';

/** What a FAILED answer says. */
export interface ErrorBody {
  readonly code: number;
  /** Hint in milliseconds; 0 is none. */
  readonly retryAfterMs?: number;
  /** Words for a person; cut to 1,024 bytes. */
  readonly message: string;
}

// [P-3.1] error := code:u16 retryAfterMs:u32 messageLength:u16 message
//         in any answer whose flags have FAILED (0x80); ERROR (0x80) has it always

/** Writes the FAILED answer to a request of `opcode`. */
export function encodeFailure(
  writer: FrameWriter,
  request: { readonly opcode: number; readonly correlationId: number },
  error: ErrorBody,
): void {
  write(writer, request.opcode | ANSWER, request.correlationId, error);
}

/** [P-3.2] Writes an ERROR frame, tied to no readable request: correlationId 0. */
export function encodeError(writer: FrameWriter, error: ErrorBody): void {
  write(writer, Answer.ERROR, 0, error);
}

/** Reads an error body into the error to throw or to hand on. */
export function decodeErrorBody(body: Buffer): ProtocolError {
  const reader = new BodyReader(body, 'error');
  const code = reader.u16('code');
  const retryAfterMs = reader.u32('retryAfterMs');
  const message = reader.text(reader.u16('messageLength'), 'message');
  reader.end();
  return new ProtocolError(code, message, retryAfterMs);
}

/** The error of a FAILED answer or of an ERROR frame, undefined for any other frame. */
export function failureOf(frame: Frame): ProtocolError | undefined {
  const failed = (frame.flags & AnswerFlag.FAILED) !== 0 || frame.opcode === Answer.ERROR;
  return failed ? decodeErrorBody(frame.body) : undefined;
}

function write(writer: FrameWriter, opcode: number, correlationId: number, error: ErrorBody): void {
  const message = cut(Buffer.from(error.message));
  writer.begin(opcode, AnswerFlag.FAILED, 0, correlationId);
  writer.u16(error.code);
  writer.u32(error.retryAfterMs ?? 0);
  writer.u16(message.length);
  writer.bytes(message);
  writer.end();
}

/** Cuts at the limit, never inside a character. */
function cut(text: Buffer): Buffer {
  const max = PROTOCOL_LIMIT.errorMessageBytesMax;
  if (text.length <= max) return text;
  let end = max;
  while (end > 0 && ((text[end] as number) & 0xc0) === 0x80) end -= 1;
  return text.subarray(0, end);
}
