import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ErrorCode, NACK_FLAGS, NackFlag, Opcode, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SettleEntries } from './settle-entries.ts';

/** What NACK says of all its messages. */
export interface NackHead {
  /** To the dead letters now. */
  readonly dead: boolean;
  /** Not before this long from now; absent: as the policy's backoff says. */
  readonly delayMs?: number;
  /** For people and dead letters; at most 1,024 bytes. */
  readonly reason: string;
}

const BY_POLICY = 0xffff_ffff;

// [P-12.11] nack := delayMs:u32 reasonLength:u16 reason entry+     flags: DEAD
//           delayMs 2^32 − 1: the policy's backoff; entry: settle-entries.ts, answer: settled.ts

/**
 * Begins a NACK; then entries by `writeSettleEntry`, then `writer.end()`.
 * @throws ProtocolError INVALID_ARGUMENT for a reason above 1,024 bytes, or a delay above a u32
 */
export function beginNack(writer: FrameWriter, correlationId: number, head: NackHead): void {
  const reason = Buffer.from(head.reason);
  const delayMs = head.delayMs ?? BY_POLICY;
  checkReason(reason.length);
  if (!(Number.isInteger(delayMs) && delayMs >= 0 && delayMs <= BY_POLICY)) {
    throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, 'delayMs is an integer below 2^32 - 1');
  }
  writer.begin(Opcode.NACK, head.dead ? NackFlag.DEAD : 0, 0, correlationId);
  writer.u32(delayMs);
  writer.u16(reason.length);
  writer.bytes(reason);
}

/**
 * Sets `entries` to the frame's.
 * @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT
 */
export function decodeNack(frame: Frame, entries: SettleEntries): NackHead {
  checkFlags(frame.flags, NACK_FLAGS, 'NACK');
  const reader = new BodyReader(frame.body, 'NACK');
  const delayMs = reader.u32('delayMs');
  const reasonBytes = reader.u16('reasonLength');
  const reason = reader.text(reasonBytes, 'reason');
  entries.reset(frame.body, frame.body.length - reader.left, 'NACK');
  checkReason(reasonBytes);
  return {
    dead: (frame.flags & NackFlag.DEAD) !== 0,
    ...(delayMs === BY_POLICY ? {} : { delayMs }),
    reason,
  };
}

function checkReason(bytes: number): void {
  if (bytes <= PROTOCOL_LIMIT.reasonBytesMax) return;
  throw new ProtocolError(
    ErrorCode.INVALID_ARGUMENT,
    `a reason has at most ${PROTOCOL_LIMIT.reasonBytesMax} bytes`,
  );
}
