import { coded } from '../base/errors.ts';

/** Where to listen or connect. */
export interface Address {
  /** A name or an IP address; an IPv6 one without its brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT` or `[IPV6]:PORT`.
 * @throws CodedError `CONFIG_INVALID` when it is neither
 */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    throw coded('CONFIG_INVALID', `${JSON.stringify(text)} is not HOST:PORT`);
  }
  return { host, port };
}

/** Writes an address so that {@link parseAddress} reads it. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach what listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
