import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Opcode } from './generated.ts';
import type { MapBody } from './map-body.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { malformed } from './protocol-error.ts';

// [P-4.5] status := empty    answer := map, for people and dashboards; keys may grow

export function encodeStatus(writer: FrameWriter, correlationId: number): void {
  writer.begin(Opcode.STATUS, 0, 0, correlationId);
  writer.end();
}

export function decodeStatus(frame: Frame): void {
  checkFlags(frame.flags, 0, 'STATUS');
  if (frame.body.length > 0) throw malformed('STATUS: its body is empty');
}

export function encodeStatusAnswer(
  writer: FrameWriter,
  correlationId: number,
  status: MapBody,
): void {
  writer.begin(Opcode.STATUS | ANSWER, 0, 0, correlationId);
  writer.bytes(encodeMap(status));
  writer.end();
}

export function decodeStatusAnswer(frame: Frame): MapBody {
  return decodeMap(frame.body, 'answer to STATUS');
}
