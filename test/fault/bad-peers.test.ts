import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { PROTOCOL_LIMIT } from '../../protocol/src/generated.ts';
import { errorName } from '../../protocol/src/protocol-error.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cleanUp } from '../support/clean-up.ts';
import { framesOf, RawClient } from '../support/raw-client.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const halfOpen = countOf('MQP_HALF_OPEN', isLong ? 5_000 : 2_000);
const connects = countOf('MQP_CONNECTS', isLong ? 10_000 : 2_000);
const streams = countOf('MQP_SOCKET_STREAMS', isLong ? 50_000 : 300);
const rssGrowthMax = 200 * 1024 * 1024;
const atOnce = 200;

/** One client that keeps the rules, beside those that do not. */
class GoodClient {
  answered = 0;
  failures: unknown[] = [];
  #isStopping = false;
  #work: Promise<void> = Promise.resolve();
  readonly #client: MqpClient;

  private constructor(client: MqpClient) {
    this.#client = client;
  }

  static async start(server: TestServer): Promise<GoodClient> {
    const address = `${server.mqp.host}:${server.mqp.port}`;
    const good = new GoodClient(await MqpClient.connect({ servers: [address] }));
    cleanUp(() => good.stop());
    const topic = uniqueTopic('good');
    const loop = async (): Promise<void> => {
      for (let n = 0; !good.#isStopping; n++) {
        try {
          await good.#client.produce(topic, { value: `n${n}` });
          good.answered++;
        } catch (error) {
          good.failures.push(error);
          return;
        }
      }
    };
    good.#work = loop();
    return good;
  }

  /** It goes on: so many more answers, and no failure. */
  async goesOn(more = 20): Promise<void> {
    const goal = this.answered + more;
    const seen = () => this.answered >= goal || this.failures.length > 0;
    await until(seen, { timeoutMs: 60_000, what: 'answers to the good client' });
    assert.deepEqual(this.failures, []);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#work;
    await this.#client.close();
  }
}

function rssOf(server: TestServer): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

function assertBounded(server: TestServer, idle: number): void {
  const grown = rssOf(server) - idle;
  console.log(`rssGrowthMiB=${Math.round(grown / 1024 / 1024)}`);
  assert(grown < rssGrowthMax, `the node grew by ${grown} bytes`);
}

/** A connection that says what it is told, and counts nothing. */
function dial(server: TestServer, bytes?: Buffer): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(server.mqp.port, server.mqp.host, () => {
      if (bytes !== undefined) socket.write(bytes);
      resolve(socket);
    });
    socket.on('error', () => resolve(socket));
    socket.resume();
  });
}

const lengths = [0, 7, PROTOCOL_LIMIT.frameBytesMax + 1, 2 ** 31, 2 ** 32 - 1];

function lengthFrame(length: number): Buffer {
  const frame = Buffer.alloc(16);
  frame.writeUInt32BE(length, 0);
  frame.writeUInt8(0x10, 4);
  return frame;
}

test('impossible lengths are refused by code, before and after the handshake', async () => {
  const server = await startServer();
  const good = await GoodClient.start(server);
  for (const isGreeted of [false, true]) {
    for (const length of lengths) {
      const peer = isGreeted
        ? await RawClient.connect(server.mqp)
        : await RawClient.bare(server.mqp);
      peer.socket.write(lengthFrame(length));
      const error = await peer.untilClosed();
      // Whoever begins with a frame that no HELLO can be speaks another protocol.
      const tooLong = isGreeted ? 'FRAME_TOO_LARGE' : 'BAD_MAGIC';
      assert.equal(nameOf(error), length < 8 ? 'MALFORMED' : tooLong, `length ${length}`);
    }
  }
  // As long as allowed, and never sent: it waits, and costs nothing.
  const patient = await RawClient.connect(server.mqp);
  patient.socket.write(lengthFrame(512 * 1024));
  await good.goesOn();
  assert.equal(patient.isClosed, false);
});

test(`${streams} streams of rubbish over sockets disturb nobody`, async () => {
  console.log(`seed=${seed}`);
  const server = await startServer();
  const good = await GoodClient.start(server);
  await good.goesOn();
  const idle = rssOf(server);
  const random = new Seeded(seed);
  for (let done = 0; done < streams; done += 50) {
    const peers = Array.from({ length: 50 }, () => dial(server, rubbish(random)));
    for (const peer of await Promise.all(peers)) peer.end();
  }
  await good.goesOn();
  assertBounded(server, idle);
});

/** Frames that were well-formed once, or nothing of the kind. */
function rubbish(random: Seeded): Buffer {
  if (random.float() < 0.5) return random.bytes(1 + random.below(300));
  const frames = framesOf({ topic: 1, first: 1, values: ['a', 'b'.repeat(random.below(500))] });
  frames[random.below(frames.length)] = random.below(256);
  return frames;
}

test('bytes that trickle in, one at a time, make a session whose messages are answered', async () => {
  const server = await startServer();
  const good = await GoodClient.start(server);
  const peer = await RawClient.connect(server.mqp);
  const { topicId } = await peer.open(uniqueTopic('trickle'));
  const frames = framesOf({ topic: topicId, first: 1, values: ['one', 'two', 'three'] });
  for (const byte of frames) {
    peer.socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const outcomes = await peer.answersTo([1, 2, 3]);
  assert.deepEqual(new Set(outcomes.map(({ name }) => name)), new Set(['OK']));
  await good.goesOn();
});

test(`${halfOpen} connections that stop half-way are closed, and the others go on`, async () => {
  const args = ['--limits.handshake-timeout', '2s', '--limits.connections', '20000'];
  const server = await startServer({ args });
  const good = await GoodClient.start(server);
  await good.goesOn();
  const idle = rssOf(server);
  let closed = 0;
  const begun = Buffer.from([0, 0, 1, 0, 1]);
  for (let done = 0; done < halfOpen; done += atOnce) {
    const dials = Array.from({ length: Math.min(atOnce, halfOpen - done) }, (_, i) =>
      dial(server, i % 2 === 0 ? begun : undefined),
    );
    for (const socket of await Promise.all(dials)) socket.once('close', () => closed++);
  }
  await good.goesOn();
  await until(() => closed === halfOpen, { timeoutMs: 60_000, what: 'all of them to be closed' });
  assertBounded(server, idle);
});

test('a client that never reads is stopped by its bounds', async () => {
  const server = await startServer();
  const good = await GoodClient.start(server);
  await good.goesOn();
  const idle = rssOf(server);
  const peer = await RawClient.connect(server.mqp);
  const { topicId } = await peer.open(uniqueTopic('deaf'));
  peer.socket.pause();
  let first = 1;
  let isBlocked = false;
  // Until the node reads no more from it.
  for (let round = 0; round < 400 && !isBlocked; round++) {
    const values = new Array<string>(200).fill('v'.repeat(1_000));
    isBlocked = !peer.socket.write(framesOf({ topic: topicId, first, values }));
    first += values.length;
    await good.goesOn(1);
    if (isBlocked) isBlocked = peer.socket.writableLength > 8 * 1024 * 1024;
  }
  await good.goesOn();
  assertBounded(server, idle);
});

test(`${connects} connects one after the other leave nothing behind`, async () => {
  const server = await startServer();
  const good = await GoodClient.start(server);
  await good.goesOn();
  const idle = rssOf(server);
  for (let done = 0; done < connects; done += atOnce) {
    const dials = Array.from({ length: atOnce }, () => dial(server));
    for (const socket of await Promise.all(dials)) socket.destroy();
  }
  await good.goesOn();
  assertBounded(server, idle);
  const connections = async () => {
    const { host, port } = server.admin;
    const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
    return Number(/^mqproxy_connections (\d+)/m.exec(text)?.[1]) === 1;
  };
  await until(connections, { timeoutMs: 30_000, what: 'one connection to be left' });
});

function nameOf(error: { readonly code: number } | undefined): string {
  return error === undefined ? 'closed' : errorName(error.code);
}
