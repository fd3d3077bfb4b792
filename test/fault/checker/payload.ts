import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';

/** Which message of which client a payload is. */
export interface PayloadName {
  readonly client: number;
  readonly n: number;
}

/** What a message carries beside its key; several headers of one name follow each other. */
export interface Payload {
  readonly value: string | null;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Where a message without a value says which it is. */
const NAME_HEADER = 'name';

/**
 * Value and headers of message `n` of a client. They follow from its name alone, and the name
 * carries its own CRC, so that what was changed, cut or made up shows. Every third has headers,
 * every eleventh no value.
 */
export function payloadOf(client: number, n: number): Payload {
  const body = `p${client}-n${n}-${'x'.repeat(n % 200)}`;
  const name = `${body}#${crcOf(body)}`;
  const headers: [string, string][] = [];
  if (n % 3 === 1) headers.push(['trace', `t${n}`], ['trace', ''], ['größe', '½'.repeat(n % 90)]);
  if (n % 11 !== 7) return { value: name, headers };
  return { value: null, headers: [[NAME_HEADER, name], ...headers] };
}

/** The key of message `n`. */
export function payloadKey(n: number): string {
  return `k${n % 50}`;
}

/** Which message this is, or undefined where a byte of it is another's. */
export function readPayload({ value, headers }: Payload): PayloadName | undefined {
  const text = value ?? headers.find(([name]) => name === NAME_HEADER)?.[1] ?? '';
  const found = /^p(\d+)-n(\d+)-x*#[0-9a-f]{8}$/.exec(text);
  if (found === null) return undefined;
  const name = { client: Number(found[1]), n: Number(found[2]) };
  return isDeepStrictEqual(payloadOf(name.client, name.n), { value, headers }) ? name : undefined;
}

const crcOf = (body: string): string => crc32(body).toString(16).padStart(8, '0');
