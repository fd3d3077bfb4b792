import { ErrorCode, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';

/** The parts of a message id. The producer id is a bigint here and 16 hex digits in text. */
export interface MessageId {
  readonly producerId: bigint;
  readonly epoch: number;
  readonly sequence: number;
}

// [P-1.4] message-id := producer "-" epoch "-" sequence
//         producer := 16 digits of 0-9a-f, epoch and sequence := decimal without leading zeros

const FORM = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,4})-([1-9][0-9]{0,14})$/;

/** The text form: `00000000000000ff-1-42`. */
export function formatMessageId(id: MessageId): string {
  return `${producerText(id.producerId)}-${id.epoch}-${id.sequence}`;
}

/** A producer id as text, for callers that format many ids of one producer. */
export function producerText(producerId: bigint): string {
  return producerId.toString(16).padStart(16, '0');
}

/** @throws ProtocolError INVALID_ARGUMENT */
export function parseMessageId(text: string): MessageId {
  const parts = FORM.exec(text);
  const epoch = Number(parts?.[2]);
  const sequence = Number(parts?.[3]);
  if (parts === null || epoch > 0xffff || sequence > PROTOCOL_LIMIT.sequenceMax) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      'a message id is <16 hex digits>-<epoch>-<sequence>',
    );
  }
  return { producerId: BigInt(`0x${parts[1]}`), epoch, sequence };
}
