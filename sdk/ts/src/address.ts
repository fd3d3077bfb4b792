import { MqpError } from './errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly text: string;
}

/** Reads `host:port`, `[v6]:port`. @throws MqpError INVALID_ARGUMENT */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new MqpError('INVALID_ARGUMENT', `${JSON.stringify(text)} is not an address host:port`);
  }
  return { host, port, text };
}
