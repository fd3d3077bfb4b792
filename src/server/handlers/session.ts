import type { MapBody } from '../../../protocol/src/map-body.ts';
import { encodePong } from '../../../protocol/src/ping.ts';
import { decodeStatus, encodeStatusAnswer } from '../../../protocol/src/status.ts';
import type { Handler } from '../handler.ts';

// [P-4.2] PING: the body comes back.
export const ping: Handler = (_context, _session, frame) => {
  const copy = { ...frame, body: Buffer.from(frame.body) };
  return (writer) => encodePong(writer, copy);
};

// [P-8.1] STATUS: one map, for people and for `mqproxy status`.
export const status: Handler = (context, _session, frame) => {
  const { correlationId } = frame;
  decodeStatus(frame);
  return (writer) => encodeStatusAnswer(writer, correlationId, context.status() as MapBody);
};
