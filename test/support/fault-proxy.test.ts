import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { cleanUp } from './clean-up.ts';
import { FaultProxy } from './fault-proxy.ts';
import { Seeded } from './seeded.ts';
import { passing, until } from './wait.ts';

/** A server that sends back what it gets, behind a proxy. */
async function echo(): Promise<{ proxy: FaultProxy; far: Socket[] }> {
  const far: Socket[] = [];
  const server = createServer((socket) => {
    far.push(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    for (const socket of far) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  return { proxy: await FaultProxy.start({ host: '127.0.0.1', port: address.port }), far };
}

interface Peer {
  readonly socket: Socket;
  got: Buffer;
  chunks: number;
  /** `end`, or the code of the error that ended it. */
  ending: string | undefined;
}

function peerOf(proxy: FaultProxy): Peer {
  const socket = connect({ host: proxy.host, port: proxy.port, noDelay: true });
  const peer: Peer = { socket, got: Buffer.alloc(0), chunks: 0, ending: undefined };
  socket.on('data', (bytes: Buffer) => {
    peer.got = Buffer.concat([peer.got, bytes]);
    peer.chunks++;
  });
  socket.on('end', () => (peer.ending ??= 'end'));
  socket.on('error', (error: NodeJS.ErrnoException) => (peer.ending ??= error.code));
  cleanUp(() => {
    socket.destroy();
  });
  return peer;
}

const has = (peer: Peer, text: string) => until(() => peer.got.toString() === text);

test('bytes pass unchanged, late, in slices, and no faster than the bandwidth', async () => {
  const { proxy } = await echo();
  const bytes = new Seeded(1).bytes(300_000);
  const plain = peerOf(proxy);
  plain.socket.write(bytes);
  await until(() => plain.got.length === bytes.length, { what: 'all of it' });
  assert(plain.got.equals(bytes));
  proxy.setFaults({ latencyMs: 60, jitterMs: 20, sliceBytes: 7 }, { latencyMs: 60 });
  const slow = peerOf(proxy);
  const began = performance.now();
  slow.socket.write(bytes.subarray(0, 2_000));
  await until(() => slow.got.length === 2_000, { what: 'what was slow' });
  assert(performance.now() - began >= 120);
  assert(slow.got.equals(bytes.subarray(0, 2_000)));
  proxy.setFaults({ bytesPerSecond: 50_000 }, {});
  const narrow = peerOf(proxy);
  const from = performance.now();
  narrow.socket.end(bytes.subarray(0, 20_000));
  await until(() => narrow.ending === 'end', { what: 'the end behind the bytes' });
  assert(performance.now() - from >= 350);
  assert(narrow.got.equals(bytes.subarray(0, 20_000)));
});

test('a black hole holds everything back, and gives it when it ends', async () => {
  const { proxy } = await echo();
  const peer = peerOf(proxy);
  peer.socket.write('a');
  await has(peer, 'a');
  await proxy.setMode('blackhole');
  peer.socket.write('b');
  const late = peerOf(proxy);
  late.socket.write('c');
  await passing(50);
  assert.equal(peer.got.toString(), 'a');
  assert.equal(peer.ending, undefined);
  await proxy.setMode('pass');
  await has(peer, 'ab');
  await has(late, 'c');
});

test('a half-open connection is gone at the far side and silent at the near one', async () => {
  const { proxy, far } = await echo();
  const peer = peerOf(proxy);
  peer.socket.write('a');
  await has(peer, 'a');
  await proxy.setMode('half-open');
  await until(() => far[0]?.destroyed, { what: 'the far side to end' });
  peer.socket.write('b');
  const late = peerOf(proxy);
  late.socket.write('c');
  await until(() => proxy.accepted === 2);
  await passing(50);
  assert.deepEqual([peer.ending, late.ending, late.got.length], [undefined, undefined, 0]);
  await proxy.setMode('pass');
  peer.socket.write('d');
  await until(() => peer.ending === 'ECONNRESET', { what: 'the reset' });
  const fresh = peerOf(proxy);
  fresh.socket.write('e');
  await has(fresh, 'e');
});

test('connections are reset, refused, and taken again on the same port', async () => {
  const { proxy } = await echo();
  const peer = peerOf(proxy);
  peer.socket.write('a');
  await has(peer, 'a');
  proxy.resetAll();
  await until(() => peer.ending === 'ECONNRESET', { what: 'the reset' });
  await proxy.setMode('refuse');
  const refused = peerOf(proxy);
  await until(() => refused.ending === 'ECONNREFUSED', { what: 'the refusal' });
  await proxy.setMode('pass');
  const again = peerOf(proxy);
  again.socket.write('b');
  await has(again, 'b');
});
