import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { failureOf } from '../../../protocol/src/error-body.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { AuthMechanism, PROTOCOL_VERSION } from '../../../protocol/src/generated.ts';
import { decodeHelloAnswer, encodeHello, type HelloAnswer } from '../../../protocol/src/hello.ts';
import type { Address } from './address.ts';
import type { Clock } from './clock.ts';
import { Connection } from './connection.ts';
import { fromNode, MqpError } from './errors.ts';
import type { TlsOptions } from './types.ts';

export interface DialOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly tls: TlsOptions | undefined;
  readonly clientName: string;
  readonly token: string | undefined;
  readonly isOrdered: boolean;
}

/** A connection whose HELLO was answered. */
export interface Link {
  readonly connection: Connection;
  readonly hello: HelloAnswer;
  readonly address: Address;
}

/** Who asks. */
export interface SessionIdentity {
  /** 0n: the node gives one. */
  readonly producerId: bigint;
  readonly epoch: number;
}

const HELLO_CORRELATION_ID = 0x8000_0000;

/**
 * Connects and shakes hands. A `signal` ends the attempt.
 * @throws MqpError of the node, or CONNECT_FAILED (retriable)
 */
export function dial(
  address: Address,
  session: SessionIdentity,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(address, options.tls);
    const onAbort = () => fail(new MqpError('CLOSED', 'the client was closed'));
    const fail = (error: MqpError) => {
      settle();
      connection.destroy(error);
      reject(error);
    };
    const connection: Connection = new Connection(socket, {
      frame: (frame) => {
        const hello = readAnswer(frame);
        connection.frameBytesMax = hello.limits.frameBytesMax;
        settle();
        resolve({ connection, hello, address });
      },
      written: () => {},
      closed: (error) => {
        settle();
        reject(connectFailed(address, error));
      },
    });
    const timer = options.clock.setTimer(() => {
      fail(connectFailed(address, new MqpError('TIMED_OUT', 'no answer in time')));
    }, options.timeoutMs);
    const settle = () => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    signal.addEventListener('abort', onAbort);
    socket.once(options.tls === undefined ? 'connect' : 'secureConnect', () => {
      connection.write(helloFrame(session, options));
    });
  });
}

function openSocket(address: Address, tls: TlsOptions | undefined): Socket {
  const { host, port } = address;
  if (tls === undefined) return connectTcp({ host, port });
  const { serverName, ...rest } = tls;
  return connectTls({ ...rest, host, port, servername: serverName });
}

function helloFrame(session: SessionIdentity, options: DialOptions): Buffer {
  const writer = new FrameWriter();
  encodeHello(writer, HELLO_CORRELATION_ID, {
    unordered: !options.isOrdered,
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    producerId: session.producerId,
    epoch: session.epoch,
    clientTimeMs: Math.max(0, Math.floor(options.clock.now())),
    name: options.clientName,
    authMechanism: options.token === undefined ? AuthMechanism.NONE : AuthMechanism.TOKEN,
    auth: Buffer.from(options.token ?? ''),
  });
  return writer.detach();
}

function readAnswer(frame: Frame): HelloAnswer {
  const failure = failureOf(frame);
  if (failure !== undefined) throw fromNode(failure);
  return decodeHelloAnswer(frame);
}

/** What the node said stands; what the network said is told with the address. */
function connectFailed(address: Address, error: MqpError): MqpError {
  if (error.isFatal || (error.code !== 'DISCONNECTED' && error.code !== 'TIMED_OUT')) return error;
  const text = `no connection to ${address.text}: ${error.message}`;
  const cause = error.cause ?? error;
  return new MqpError('CONNECT_FAILED', text, { isRetriable: true, cause });
}
