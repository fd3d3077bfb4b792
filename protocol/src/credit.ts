import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ErrorCode, Opcode, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';

/** The most that may be out on a subscription from now on: delivered and not settled. */
export interface Credit {
  readonly subscription: number;
  /** 0: nothing more for now. */
  readonly messages: number;
  readonly bytes: number;
}

// [P-12.6] credit := subscription:u32 messages:u32 bytes:u32      no answer when it was taken

export function encodeCredit(writer: FrameWriter, correlationId: number, credit: Credit): void {
  writer.begin(Opcode.CREDIT, 0, 0, correlationId);
  writer.u32(credit.subscription);
  writer.u32(credit.messages);
  writer.u32(credit.bytes);
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT above the limits */
export function decodeCredit(frame: Frame): Credit {
  checkFlags(frame.flags, 0, 'CREDIT');
  const reader = new BodyReader(frame.body, 'CREDIT');
  const credit = {
    subscription: reader.u32('subscription'),
    messages: reader.u32('messages'),
    bytes: reader.u32('bytes'),
  };
  reader.end();
  const { creditMessagesMax, creditBytesMax } = PROTOCOL_LIMIT;
  if (credit.messages > creditMessagesMax || credit.bytes > creditBytesMax) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      `CREDIT is at most ${creditMessagesMax} messages and ${creditBytesMax} bytes`,
    );
  }
  return credit;
}
