import { isUtf8 } from 'node:buffer';
import { Packr } from 'msgpackr/index-no-eval';
import { PROTOCOL_LIMIT } from './generated.ts';
import { malformed } from './protocol-error.ts';

/** A control message: string keys; values null, boolean, number, string, bytes, array or map. */
export type MapBody = Record<string, unknown>;

// The only place that knows msgpackr. This entry is its JavaScript alone; all others load its addon
// where CommonJS requires them.
const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  mapsAsObjects: true,
  int64AsType: 'number',
});

// [P-1.5] map := one msgpack map with string keys, at most 8 levels deep, no ext types

/**
 * Encodes a map; *owned* by the caller. Integers above 2^32 − 1 are sent as float 64, and half a
 * character, which UTF-8 does not have, as U+FFFD.
 */
export function encodeMap(map: MapBody): Buffer {
  return packr.pack(wellFormed(map));
}

const HALF_CHARACTER = /[\uD800-\uDFFF]/u;

function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') {
    return HALF_CHARACTER.test(value) ? Buffer.from(value).toString() : value;
  }
  if (Array.isArray(value)) return value.map(wellFormed);
  if (Object.prototype.toString.call(value) !== '[object Object]') return value;
  const entries = Object.entries(value as object).map(([key, one]) => [key, wellFormed(one)]);
  return Object.fromEntries(entries);
}

/**
 * Decodes one map. Its shape is checked first, so that what is built is bounded by the body's size
 * whatever its counts promise, is never deeply nested, and is plain data only.
 * @throws ProtocolError MALFORMED
 */
export function decodeMap(body: Buffer, what: string): MapBody {
  const kind = body[0] ?? 0xc1;
  const isMap = (kind & 0xf0) === 0x80 || kind === 0xde || kind === 0xdf;
  if (!isMap) throw malformed(`${what}: the body is not a msgpack map`);
  let end: number;
  try {
    end = skipValue(body, 0, 0);
  } catch (cause) {
    if (cause instanceof RangeError) throw malformed(`${what}: the map ends too early`);
    throw cause;
  }
  if (end > body.length) throw malformed(`${what}: the map ends too early`);
  if (end < body.length) throw malformed(`${what}: ${body.length - end} bytes follow the map`);
  return packr.unpack(body) as MapBody;
}

/** Returns the position after the value at `at`. */
function skipValue(body: Buffer, at: number, depth: number): number {
  const kind = body.readUInt8(at);
  if (kind < 0x80 || kind >= 0xe0) return at + 1;
  if (kind < 0x90) return skipMap(body, at + 1, kind & 0x0f, depth);
  if (kind < 0xa0) return skipArray(body, at + 1, kind & 0x0f, depth);
  if (kind < 0xc0) return skipText(body, at + 1, kind & 0x1f);
  switch (kind) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return at + 1;
    case 0xcc:
    case 0xd0:
      return at + 2;
    case 0xcd:
    case 0xd1:
      return at + 3;
    case 0xca:
    case 0xce:
    case 0xd2:
      return at + 5;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return at + 9;
    case 0xc4:
      return at + 2 + body.readUInt8(at + 1);
    case 0xc5:
      return at + 3 + body.readUInt16BE(at + 1);
    case 0xc6:
      return at + 5 + body.readUInt32BE(at + 1);
    case 0xd9:
      return skipText(body, at + 2, body.readUInt8(at + 1));
    case 0xda:
      return skipText(body, at + 3, body.readUInt16BE(at + 1));
    case 0xdb:
      return skipText(body, at + 5, body.readUInt32BE(at + 1));
    case 0xdc:
      return skipArray(body, at + 3, body.readUInt16BE(at + 1), depth);
    case 0xdd:
      return skipArray(body, at + 5, body.readUInt32BE(at + 1), depth);
    case 0xde:
      return skipMap(body, at + 3, body.readUInt16BE(at + 1), depth);
    case 0xdf:
      return skipMap(body, at + 5, body.readUInt32BE(at + 1), depth);
    default:
      throw malformed(`msgpack type 0x${kind.toString(16)} is not allowed`);
  }
}

/**
 * msgpackr reads a character that is cut by its string's end on into what follows, so that it would
 * see other fields than were checked here: text that is not UTF-8 is refused.
 */
function skipText(body: Buffer, at: number, length: number): number {
  const end = at + length;
  if (end > body.length) throw malformed('a string ends too early');
  if (!isUtf8(body.subarray(at, end))) throw malformed('a string is not UTF-8');
  return end;
}

function skipArray(body: Buffer, from: number, count: number, depth: number): number {
  checkNesting(body, from, count, depth);
  let at = from;
  for (let i = 0; i < count; i++) at = skipValue(body, at, depth + 1);
  return at;
}

function skipMap(body: Buffer, from: number, count: number, depth: number): number {
  checkNesting(body, from, count * 2, depth);
  let at = from;
  for (let i = 0; i < count; i++) {
    const kind = body.readUInt8(at);
    const isString = (kind & 0xe0) === 0xa0 || (kind >= 0xd9 && kind <= 0xdb);
    if (!isString) throw malformed('a map has a key that is not a string');
    at = skipValue(body, skipValue(body, at, depth), depth + 1);
  }
  return at;
}

function checkNesting(body: Buffer, at: number, values: number, depth: number): void {
  if (depth >= PROTOCOL_LIMIT.mapDepthMax) throw malformed('a map is nested too deeply');
  // Every value takes a byte at least, so a count beyond the body is a lie.
  if (values > body.length - at) throw malformed('a map or array ends too early');
}
