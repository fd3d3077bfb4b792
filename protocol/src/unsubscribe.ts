import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Opcode } from './generated.ts';
import { decodeMap } from './map-body.ts';
import { integerField } from './map-fields.ts';
import { readRequest, writeMap } from './map-frame.ts';

// [P-12.5] unsubscribe := map { subscription }    answer := map {}

export function encodeUnsubscribe(
  writer: FrameWriter,
  correlationId: number,
  subscription: number,
): void {
  writeMap(writer, Opcode.UNSUBSCRIBE, correlationId, { subscription });
}

/** The subscription's id. @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT */
export function decodeUnsubscribe(frame: Frame): number {
  return integerField(readRequest(frame, 'UNSUBSCRIBE', ['subscription']), 'subscription');
}

export function encodeUnsubscribed(writer: FrameWriter, correlationId: number): void {
  writeMap(writer, Opcode.UNSUBSCRIBE | ANSWER, correlationId, {});
}

export function decodeUnsubscribed(frame: Frame): void {
  decodeMap(frame.body, 'answer to UNSUBSCRIBE');
}
