import { connect, isIP, type Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { parseAddress } from '../../config/address.ts';

const produceKey = 0;
const apiVersionsKey = 18;
const responseBytesMax = 64 * 1024;

/** Which versions of each request a broker speaks, by Kafka's number of the request. */
export type ApiVersions = ReadonlyMap<number, number>;

/** How a broker is reached. */
export interface BrokerRequest {
  readonly broker: string;
  readonly tls: SecureContextOptions | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * Asks a broker what it speaks; needs no login.
 * @throws CodedError `BACKEND_UNAVAILABLE` when it does not answer like Kafka in time
 */
export async function askApiVersions(request: BrokerRequest): Promise<ApiVersions> {
  const { host, port } = parseAddress(request.broker);
  const socket =
    request.tls === undefined
      ? connect({ host, port })
      : connectTls({ host, port, servername: isIP(host) === 0 ? host : '', ...request.tls });
  const timer = request.clock.setTimer(() => {
    socket.destroy(coded('BACKEND_UNAVAILABLE', `no answer in ${request.timeoutMs} ms`));
  }, request.timeoutMs);
  try {
    // size:i32 key:i16 version:i16 correlationId:i32 clientId:i16 (-1 = none)
    const ask = Buffer.alloc(14);
    ask.writeInt32BE(10, 0);
    ask.writeInt16BE(apiVersionsKey, 4);
    ask.writeInt16BE(-1, 12);
    socket.write(ask);
    return decode(await readResponse(socket));
  } finally {
    timer.cancel();
    socket.destroy();
  }
}

async function readResponse(socket: Socket): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    if (bytes.length < 4) continue;
    const size = bytes.readInt32BE(0);
    if (size < 10 || size > responseBytesMax) break;
    if (bytes.length >= 4 + size) return bytes.subarray(4, 4 + size);
  }
  throw coded('BACKEND_UNAVAILABLE', 'what answers there does not speak Kafka');
}

// response := correlationId:i32 error:i16 count:i32 { key:i16 min:i16 max:i16 }
function decode(body: Buffer): ApiVersions {
  const versions = new Map<number, number>();
  const count = body.readInt32BE(6);
  for (let i = 0, at = 10; i < count && at + 6 <= body.length; i++, at += 6) {
    versions.set(body.readInt16BE(at), body.readInt16BE(at + 4));
  }
  if (!versions.has(produceKey)) throw coded('BACKEND_UNAVAILABLE', 'it takes no messages');
  return versions;
}

/** The release a broker must at least be, told from the newest Produce request it speaks. */
export function releaseOf(versions: ApiVersions): string {
  const produce = versions.get(produceKey) ?? 0;
  if (produce >= 13) return '4.1 or newer';
  if (produce === 12) return '4.0';
  if (produce === 11) return '3.8 or 3.9';
  if (produce === 10) return '3.7';
  if (produce === 9) return '2.8 to 3.6';
  return produce >= 7 ? '2.1 to 2.7' : 'older than 2.1';
}

/** Whether a broker can do what the node needs: idempotent producers, headers, zstd. */
export function isRecentEnough(versions: ApiVersions): boolean {
  return (versions.get(produceKey) ?? 0) >= 7;
}
