import { createServer, connect as dial, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { type KafkaOptions, startKafka } from './kafka.ts';

/** By Kafka's numbers. */
export const apiKey = { metadata: 3, joinGroup: 11, syncGroup: 14 } as const;

/** What is done to the frames of one connection; each has its length before it. */
export interface Relay {
  /** A request, before the broker gets it. It may be changed in place, at its length. */
  asked(request: Buffer): void;
  /** An answer; `give` hands the client what it is to get, now or later. */
  answered(answer: Buffer, give: (answer: Buffer) => void): void;
}

/** What kind of request it is. */
export const apiOf = (request: Buffer): number => request.readInt16BE(4);
/** By which version of the protocol it is asked. */
export const versionOf = (request: Buffer): number => request.readInt16BE(6);
/** What an answer repeats. */
export const correlationOfRequest = (request: Buffer): number => request.readInt32BE(8);
export const correlationOfAnswer = (answer: Buffer): number => answer.readInt32BE(4);

/**
 * Starts a broker of the test's own whose clients all come by a relay, which sees what they ask and
 * are answered frame by frame. Gives its address, `127.0.0.1:PORT`.
 */
export async function startFramedKafka(
  relay: () => Relay,
  options: KafkaOptions = {},
): Promise<string> {
  const sockets = new Set<Socket>();
  let brokerPort = 0;
  const server = createServer({ noDelay: true }, (client) => {
    const broker = dial({ host: '127.0.0.1', port: brokerPort, noDelay: true });
    const { asked, answered } = relay();
    client.on(
      'data',
      byFrame((request) => {
        asked(request);
        broker.write(request);
      }),
    );
    broker.on(
      'data',
      byFrame((answer) => answered(answer, (given) => client.write(given))),
    );
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => one.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  const address = `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
  const config = { ...options.config, 'advertised.listeners': `PLAINTEXT://${address}` };
  brokerPort = (await startKafka({ ...options, config })).port;
  return address;
}

function byFrame(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0);
      onFrame(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}
