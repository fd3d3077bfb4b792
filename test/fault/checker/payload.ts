import { crc32 } from 'node:zlib';

/** Which message of which client a payload is. */
export interface PayloadName {
  readonly client: number;
  readonly n: number;
}

/**
 * The value of message `n` of a client. It follows from its name alone and carries its own CRC, so
 * that what was changed, cut or made up shows.
 */
export function payloadOf(client: number, n: number): string {
  const body = `p${client}-n${n}-${'x'.repeat(n % 200)}`;
  return `${body}#${crcOf(body)}`;
}

/** The key of message `n`. */
export function payloadKey(n: number): string {
  return `k${n % 50}`;
}

/** What a payload says it is, or undefined where its CRC or its shape tells otherwise. */
export function readPayload(value: string): PayloadName | undefined {
  const found = /^(p(\d+)-n(\d+)-x*)#([0-9a-f]{8})$/.exec(value);
  if (found === null || crcOf(found[1] as string) !== found[4]) return undefined;
  const name = { client: Number(found[2]), n: Number(found[3]) };
  return payloadOf(name.client, name.n) === value ? name : undefined;
}

const crcOf = (body: string): string => crc32(body).toString(16).padStart(8, '0');
