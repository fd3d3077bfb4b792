import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Opcode } from './generated.ts';

// [P-4.3] ping := any bytes, the answer holds the same

export function encodePing(writer: FrameWriter, correlationId: number, body?: Uint8Array): void {
  writer.begin(Opcode.PING, 0, 0, correlationId);
  if (body !== undefined) writer.bytes(body);
  writer.end();
}

/** Writes the answer to the PING in `frame`. */
export function encodePong(writer: FrameWriter, frame: Frame): void {
  checkFlags(frame.flags, 0, 'PING');
  writer.begin(Opcode.PING | ANSWER, 0, 0, frame.correlationId);
  writer.bytes(frame.body);
  writer.end();
}

/** The bytes of a PING or of its answer, borrowed from the frame. */
export function decodePing(frame: Frame): Buffer {
  checkFlags(frame.flags, 0, 'PING');
  return frame.body;
}
