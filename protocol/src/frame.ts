import { ErrorCode, FRAME_HEADER_BYTES, FRAME_LENGTH_MIN } from './generated.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** One frame. The body is a view of the bytes it was read from, never a copy. */
export interface Frame {
  readonly opcode: number;
  readonly flags: number;
  /** Topic id of this connection, 0 for none. */
  readonly topic: number;
  readonly correlationId: number;
  readonly body: Buffer;
}

// [P-2.1] frame := length:u32 opcode:u8 flags:u8 topic:u16 correlationId:u32 body
//         length := bytes after the length field, 8 ≤ length ≤ the maximum of the state [P-2.3]

/**
 * Reads the whole frame that begins at `at`; `bytes` must hold it whole.
 * The body is *borrowed* from `bytes`.
 */
export function readFrame(bytes: Buffer, at: number): Frame {
  const length = bytes.readUInt32BE(at);
  return {
    opcode: bytes[at + 4] as number,
    flags: bytes[at + 5] as number,
    topic: bytes.readUInt16BE(at + 6),
    correlationId: bytes.readUInt32BE(at + 8),
    body: bytes.subarray(at + FRAME_HEADER_BYTES, at + 4 + length),
  };
}

/** Writes the 12 bytes before a body of `bodyBytes`; returns the position after them. */
export function writeFrameHeader(
  bytes: Buffer,
  at: number,
  header: Omit<Frame, 'body'> & { readonly bodyBytes: number },
): number {
  bytes.writeUInt32BE(FRAME_LENGTH_MIN + header.bodyBytes, at);
  bytes[at + 4] = header.opcode;
  bytes[at + 5] = header.flags;
  bytes.writeUInt16BE(header.topic, at + 6);
  bytes.writeUInt32BE(header.correlationId >>> 0, at + 8);
  return at + FRAME_HEADER_BYTES;
}

/** Refuses a length field outside the state's bounds, before anything is awaited or allocated. */
export function checkFrameLength(length: number, frameBytesMax: number): void {
  if (length > frameBytesMax) {
    throw new ProtocolError(
      ErrorCode.FRAME_TOO_LARGE,
      `a frame of ${length} bytes is above the limit of ${frameBytesMax}`,
    );
  }
  if (length < FRAME_LENGTH_MIN) {
    throw malformed(`a frame's length is at least ${FRAME_LENGTH_MIN}, not ${length}`);
  }
}

// [P-2.4] A bit that the opcode does not have is UNKNOWN_FLAGS.
/** Refuses frame flags outside `allowed`. */
export function checkFlags(flags: number, allowed: number, what: string): void {
  const unknown = flags & ~allowed;
  if (unknown !== 0) {
    throw new ProtocolError(
      ErrorCode.UNKNOWN_FLAGS,
      `${what} has no flag 0x${unknown.toString(16).padStart(2, '0')}`,
    );
  }
}
