import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { MapBody } from './map-body.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { checkKeys } from './map-fields.ts';

/**
 * Reads a request whose body is a map with no other keys than these [P-1.5] [P-1.6].
 * @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT
 */
export function readRequest(frame: Frame, what: string, keys: readonly string[]): MapBody {
  checkFlags(frame.flags, 0, what);
  const map = decodeMap(frame.body, what);
  checkKeys(map, keys, what);
  return map;
}

/**
 * Writes a frame whose body is a map. Keys that are undefined are left out, at any depth, so that
 * absent and undefined are the same bytes.
 */
export function writeMap(
  writer: FrameWriter,
  opcode: number,
  correlationId: number,
  map: object,
): void {
  const bytes = encodeMap(said(map) as MapBody);
  writer.begin(opcode, 0, 0, correlationId);
  writer.bytes(bytes);
  writer.end();
}

function said(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(said);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const map: MapBody = {};
  for (const [key, item] of Object.entries(value)) if (item !== undefined) map[key] = said(item);
  return map;
}
