import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { PROTOCOL_LIMIT } from '../../protocol/src/generated.ts';
import { encodePing } from '../../protocol/src/ping.ts';
import { errorName } from '../../protocol/src/protocol-error.ts';
import { cleanUp } from '../support/clean-up.ts';
import { Cores } from '../support/cores.ts';
import { metric } from '../support/node-state.ts';
import { rssOf } from '../support/process-use.ts';
import { framesOf, helloFrame, RawClient } from '../support/raw-client.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { endOf, type StreamEnd, tally } from '../support/stream-end.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';
import { GoodClient } from './good-client.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const halfOpen = countOf('MQP_HALF_OPEN', isLong ? 5_000 : 2_000);
const connects = countOf('MQP_CONNECTS', isLong ? 10_000 : 2_000);
/** Dialled within two seconds: 10,000 of them in little more than one, where the machine can. */
const storm = countOf('MQP_STORM', isLong ? 10_000 : 1_000);
const stormPerMs = 8;
const stormMsMax = 2_000;
const streams = countOf('MQP_SOCKET_STREAMS', isLong ? 50_000 : 2_000);
const rssGrowthMax = 200 * 1024 * 1024;
const atOnce = 200;
/** How much slower the good client's p99 may get; below the floor nobody would notice. */
const slowerTimes = 3;
const latencyFloorMs = 150;

/** A node with one good client; its memory and that client's times before the others came. */
class Scene {
  readonly server: TestServer;
  readonly good: GoodClient;
  readonly #idleBytes: number;
  readonly #quietP99: number;
  #mostBytes = 0;
  #isOver = false;
  readonly #cores = new Cores();
  readonly #watching: Promise<void>;

  private constructor(server: TestServer, good: GoodClient, quietP99: number) {
    this.server = server;
    this.good = good;
    this.#quietP99 = quietP99;
    this.#idleBytes = rssOf(server.pid);
    this.#watching = this.#watch();
  }

  static async start(...args: string[]): Promise<Scene> {
    const server = await startServer({ args });
    const good = await GoodClient.start(server);
    await good.goesOn(200);
    const scene = new Scene(server, good, await good.takeP99());
    cleanUp(() => {
      scene.#isOver = true;
    });
    return scene;
  }

  /** It went on, about as fast as before, and the node's memory never grew by much. */
  async endWell(): Promise<void> {
    await this.good.goesOn();
    this.#isOver = true;
    await this.#watching;
    const grown = Math.max(this.#mostBytes, rssOf(this.server.pid)) - this.#idleBytes;
    const p99 = await this.good.takeP99();
    const ms = (time: number) => time.toFixed(1);
    const times = (p99 / this.#quietP99).toFixed(1);
    const areJudged = this.#cores.wereThere(
      `rssGrowthMiB=${Math.round(grown / 1024 / 1024)} ` +
        `p99Ms=${ms(this.#quietP99)},${ms(p99)} slowerTimes=${times}`,
    );
    assert(grown < rssGrowthMax, `the node grew by ${grown} bytes`);
    if (!areJudged) return;
    const most = Math.max(latencyFloorMs, slowerTimes * this.#quietP99);
    assert(p99 <= most, `p99 of the good client: ${ms(p99)} ms, at most ${ms(most)}`);
  }

  async #watch(): Promise<void> {
    for (; !this.#isOver; await passing(20))
      this.#mostBytes = Math.max(this.#mostBytes, rssOf(this.server.pid));
  }
}

const lengths = [0, 7, PROTOCOL_LIMIT.frameBytesMax + 1, 2 ** 31, 2 ** 32 - 1];

function lengthFrame(length: number): Buffer {
  const frame = Buffer.alloc(16);
  frame.writeUInt32BE(length, 0);
  frame.writeUInt8(0x10, 4);
  return frame;
}

test('impossible lengths are refused by code, before and after the handshake', async () => {
  const scene = await Scene.start();
  const { server, good } = scene;
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
  const patient: RawClient[] = [];
  for (let i = 0; i < 50; i++) {
    const peer = await RawClient.connect(server.mqp);
    peer.socket.write(lengthFrame(PROTOCOL_LIMIT.frameBytesMax));
    patient.push(peer);
  }
  await good.goesOn();
  assert(patient.every(({ isClosed }) => !isClosed));
  await scene.endWell();
});

test(`${streams} streams of rubbish over sockets disturb nobody`, async () => {
  console.log(`seed=${seed}`);
  const scene = await Scene.start();
  const random = new Seeded(seed);
  const ends: StreamEnd[] = [];
  while (ends.length < streams) {
    const coming = Array.from({ length: 50 }, () => endOf(scene.server.mqp, rubbish(random)));
    ends.push(...(await Promise.all(coming)));
  }
  const names = tally(ends);
  console.log(Object.fromEntries(names));
  // Streams that all end alike show nothing.
  for (const name of ['BAD_MAGIC', 'FRAME_TOO_LARGE', 'closed'])
    assert((names.get(name) ?? 0) > streams / 100, `hardly any ended with ${name}`);
  await scene.endWell();
});

/** Frames that were well-formed once, or nothing of the kind; behind a HELLO half of the time. */
function rubbish(random: Seeded): Buffer {
  const bytes = bent(random);
  return random.float() < 0.5 ? bytes : Buffer.concat([helloFrame(), bytes]);
}

function bent(random: Seeded): Buffer {
  if (random.float() < 0.5) return random.bytes(1 + random.below(300));
  const frames = framesOf({ topic: 1, first: 1, values: ['a', 'b'.repeat(random.below(500))] });
  frames[random.below(frames.length)] = random.below(256);
  return frames;
}

test('bytes that trickle in, one at a time, make a session whose messages are answered', async () => {
  const scene = await Scene.start();
  const peer = await RawClient.connect(scene.server.mqp);
  const { topicId } = await peer.open(uniqueTopic('trickle'));
  const frames = framesOf({ topic: topicId, first: 1, values: ['one', 'two', 'three'] });
  for (const byte of frames) {
    peer.socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const outcomes = await peer.answersTo([1, 2, 3]);
  assert.deepEqual(new Set(outcomes.map(({ name }) => name)), new Set(['OK']));
  await scene.endWell();
});

test(`${halfOpen} connections that stop half-way are told why and closed, and the others go on`, async () => {
  const args = ['--limits.handshake-timeout', '2s', '--limits.connections', '20000'];
  const scene = await Scene.start(...args);
  const begun = Buffer.from([0, 0, 1, 0, 1]);
  const peers: RawClient[] = [];
  for (let done = 0; done < halfOpen; done += atOnce) {
    const dials = Array.from({ length: Math.min(atOnce, halfOpen - done) }, async (_, i) => {
      const peer = await RawClient.bare(scene.server.mqp);
      if (i % 2 === 0) peer.socket.write(begun);
      return peer;
    });
    peers.push(...(await Promise.all(dials)));
  }
  const names = new Map<string, number>();
  for (const peer of peers) {
    const name = nameOf(await peer.untilClosed(60_000));
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  assert.deepEqual([...names], [['HANDSHAKE_TIMEOUT', halfOpen]]);
  await scene.endWell();
});

test('a client that asks and never reads is read no more, and costs bounded memory', async () => {
  const scene = await Scene.start();
  const peer = await RawClient.connect(scene.server.mqp);
  peer.socket.pause();
  const writer = new FrameWriter();
  for (let i = 0; i < 64; i++) encodePing(writer, i, Buffer.alloc(16 * 1024));
  const pings = writer.detach();
  let sent = 0;
  // Until the node reads no more from it: what waits stays as it is while others are answered.
  for (let before = -1; before !== peer.socket.writableLength; await scene.good.goesOn(50)) {
    while (peer.socket.writableLength < 4 * pings.length) {
      peer.socket.write(pings);
      sent += pings.length;
      assert(sent < 256 * 1024 * 1024, 'the node read all of it');
      await scene.good.goesOn(2);
    }
    before = peer.socket.writableLength;
  }
  console.log(`sentMiB=${Math.round((sent - peer.socket.writableLength) / 1024 / 1024)}`);
  await scene.endWell();
});

test(`${connects} connects one after the other leave nothing behind, and those too many are told so`, async () => {
  // Fewer than come at once, beside the good client.
  const room = 150;
  const scene = await Scene.start('--limits.connections', String(room + 1));
  const { server } = scene;
  let refused = 0;
  for (let done = 0; done < connects; done += atOnce) {
    const dials = Array.from({ length: atOnce }, () => RawClient.bare(server.mqp));
    const peers = await Promise.all(dials);
    const isTold = () => peers.filter(({ fatal }) => fatal !== undefined).length >= atOnce - room;
    await until(isTold, { what: 'those too many to be told' });
    for (const { fatal, socket } of peers) {
      if (fatal !== undefined) assert.equal(nameOf(fatal), 'TOO_MANY_CONNECTIONS');
      if (fatal !== undefined) refused++;
      socket.destroy();
    }
    const left = async () => (await metric(server, 'mqproxy_connections ')) === 1;
    await until(left, { what: 'one connection to be left' });
  }
  assert.equal(refused, (connects / atOnce) * (atOnce - room));
  await scene.endWell();
});

test(`${storm} connects that come at once are told that they are too many`, async () => {
  const room = 150;
  const limits = ['--limits.connections', String(room + 1), '--limits.handshake-timeout', '60s'];
  const scene = await Scene.start(...limits);
  const { host, port } = scene.server.mqp;
  const peers: RawClient[] = [];
  const cores = new Cores();
  const began = performance.now();
  const sinceMs = () => Math.round(performance.now() - began);
  for (; peers.length < storm; await passing(5)) {
    const due = Math.min(storm, stormPerMs * (sinceMs() + 5));
    while (peers.length < due) peers.push(new RawClient(connect(port, host)));
  }
  const dialledMs = sinceMs();
  if (cores.wereThere(`dialledMs=${dialledMs}`)) {
    assert(dialledMs <= stormMsMax, `${storm} took ${dialledMs} ms: they did not come at once`);
  }
  const told = () => peers.flatMap(({ fatal }) => (fatal === undefined ? [] : [nameOf(fatal)]));
  const isOver = () => told().length >= storm - room;
  await until(isOver, { timeoutMs: 60_000, what: 'those too many to be told' });
  console.log(`toldMs=${sinceMs()}`);
  assert.deepEqual([...new Set(told())], ['TOO_MANY_CONNECTIONS']);
  assert.equal(told().length, storm - room);
  await scene.endWell();
  for (const { socket } of peers) socket.destroy();
});

function nameOf(error: { readonly code: number } | undefined): string {
  return error === undefined ? 'closed' : errorName(error.code);
}
