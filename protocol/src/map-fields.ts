import { ErrorCode, PROTOCOL_LIMIT } from './generated.ts';
import type { MapBody } from './map-body.ts';
import { ProtocolError } from './protocol-error.ts';

/** Refuses keys that the message does not have: a typing error must not be ignored [P-1.6]. */
export function checkKeys(map: MapBody, allowed: readonly string[], what: string): void {
  for (const key of Object.keys(map)) {
    if (!allowed.includes(key)) {
      throw invalid(`${what} has no field ${JSON.stringify(key)}; it has ${allowed.join(', ')}`);
    }
  }
}

export function stringField(map: MapBody, key: string): string {
  const value = map[key];
  if (typeof value !== 'string') throw invalid(`${key} must be a string`);
  return value;
}

/** As {@link stringField}, undefined when the key is absent or null. */
export function optionalString(map: MapBody, key: string): string | undefined {
  return map[key] === undefined || map[key] === null ? undefined : stringField(map, key);
}

/** An integer from `min` (0 when not said) to 2^53 − 1. */
export function integerField(map: MapBody, key: string, min = 0): number {
  const value = map[key];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min) {
    throw invalid(`${key} must be an integer from ${min}`);
  }
  return value;
}

/** As {@link integerField}, undefined when the key is absent or null. */
export function optionalInteger(map: MapBody, key: string, min = 0): number | undefined {
  return map[key] === undefined || map[key] === null ? undefined : integerField(map, key, min);
}

/** `limit` of a list that comes in pages: 1 to 1,000. */
export function optionalLimit(map: MapBody): number | undefined {
  const limit = optionalInteger(map, 'limit', 1);
  const max = PROTOCOL_LIMIT.pageItemsMax;
  if (limit !== undefined && limit > max) throw invalid(`limit is 1 to ${max}`);
  return limit;
}

/** True or false, undefined when the key is absent or null. */
export function optionalBoolean(map: MapBody, key: string): boolean | undefined {
  const value = map[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw invalid(`${key} must be true or false`);
  return value;
}

/** Bytes, *borrowed* from the frame; undefined when the key is absent or null. */
export function optionalBytes(map: MapBody, key: string): Uint8Array | undefined {
  const value = map[key];
  if (value === undefined || value === null) return undefined;
  if (!(value instanceof Uint8Array)) throw invalid(`${key} must be bytes`);
  return value;
}

export function stringsField(map: MapBody, key: string): string[] {
  const value = map[key];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw invalid(`${key} must be an array of strings`);
  }
  return value;
}

export function mapField(map: MapBody, key: string): MapBody {
  const value = map[key];
  if (!isMap(value)) throw invalid(`${key} must be a map`);
  return value;
}

/** An array whose items are maps. */
export function mapsField(map: MapBody, key: string): MapBody[] {
  const value = map[key];
  if (!Array.isArray(value) || !value.every(isMap))
    throw invalid(`${key} must be an array of maps`);
  return value;
}

/** A map whose values are strings; undefined when absent. */
export function optionalStringMap(map: MapBody, key: string): Record<string, string> | undefined {
  if (map[key] === undefined || map[key] === null) return undefined;
  const values = mapField(map, key);
  for (const name of Object.keys(values)) stringField(values, name);
  return values as Record<string, string>;
}

function isMap(value: unknown): value is MapBody {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  );
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_ARGUMENT, message);
}
