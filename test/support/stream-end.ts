import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { failureOf } from '../../protocol/src/error-body.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import { FrameDecoder } from '../../protocol/src/frame-decoder.ts';
import { ANSWER, ERROR_TABLE, Opcode } from '../../protocol/src/generated.ts';
import type { Address } from './start-server.ts';
import { frameCodecs } from './vector-codecs.ts';
import { readVectors } from './vectors.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** What a node did with a stream that was sent whole, and closed behind it. */
export interface StreamEnd {
  /** Name of the fatal code, `HTTP` for the refusal in words, `closed` for none. */
  readonly name: string;
  /** Frames that it sent, ERROR included. */
  readonly answers: number;
}

const FROM_NODE = new Set<number>([Opcode.GOAWAY, Opcode.DELIVER, Opcode.ASSIGNED]);
const rows = new Map<number, (typeof ERROR_TABLE)[number]>(
  ERROR_TABLE.map((row) => [row.code, row]),
);
/** The decoders of what a node sends, by opcode. */
const typesOf = new Map<number, Set<string>>();
for (const { kind, type, hex } of readVectors().flatMap(({ vectors }) => vectors)) {
  const opcode = Number.parseInt(hex.slice(8, 10), 16);
  if (kind !== 'response' || type === 'error') continue;
  typesOf.set(opcode, (typesOf.get(opcode) ?? new Set()).add(type));
}

/**
 * Sends `bytes` on a connection of their own, ends its half, reads everything until the node has
 * closed, and holds it against the specification: frames of the node's own opcodes that decode,
 * codes of the table, and nothing behind a fatal one [P-3.2].
 */
export async function endOf(address: Address, bytes: Buffer): Promise<StreamEnd> {
  const chunks: Buffer[] = [];
  const { host, port } = address;
  const socket = connect({ host, port });
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A node that closes while bytes are on their way to it resets: what came before counts.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.end(bytes);
  await within(closed, GIVE_UP_MS, 'the node to close the connection').finally(() =>
    socket.destroy(),
  );
  return judge(Buffer.concat(chunks));
}

function judge(received: Buffer): StreamEnd {
  if (received.toString('latin1', 0, 5) === 'HTTP/') {
    assert.match(received.toString('latin1'), /^HTTP\/1\.1 400 Bad Request\r\n/);
    return { name: 'HTTP', answers: 0 };
  }
  const decoder = new FrameDecoder({ frameBytesMax: 64 << 20 });
  decoder.push(received);
  let name = 'closed';
  let answers = 0;
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
    assert.equal(name, 'closed', `opcode ${frame.opcode} came behind the fatal ${name}`);
    name = fatalOf(frame) ?? name;
    answers++;
  }
  assert.equal(decoder.bufferedBytes, 0, 'the node stopped inside a frame');
  return { name, answers };
}

/** Decodes a frame of the node; answers the name of its code where that ends the connection. */
function fatalOf(frame: Frame): string | undefined {
  const { opcode } = frame;
  const failure = failureOf(frame);
  if (failure === undefined) {
    assert(opcode >= ANSWER || FROM_NODE.has(opcode), `opcode ${opcode} is no answer`);
    const types = typesOf.get(opcode);
    assert(types !== undefined, `no answer has opcode ${opcode}`);
    for (const type of types) frameCodecs[type]?.decode(frame);
    return undefined;
  }
  const row = rows.get(failure.code);
  assert(row !== undefined && row.name !== 'OK', `no error has code ${failure.code}`);
  return row.fatal ? row.name : undefined;
}

/** How many streams ended how. */
export function tally(ends: Iterable<StreamEnd>): Map<string, number> {
  const names = new Map<string, number>();
  for (const { name } of ends) names.set(name, (names.get(name) ?? 0) + 1);
  return new Map([...names].sort());
}
