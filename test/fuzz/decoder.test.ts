import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../../protocol/src/frame.ts';
import { FrameDecoder } from '../../protocol/src/frame-decoder.ts';
import { ANSWER, AnswerFlag, PROTOCOL_LIMIT } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import { byteCodecs, frameCodecs } from '../support/vector-codecs.ts';
import { readVectors, type Vector } from '../support/vectors.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const streams = Number(process.env['MQP_FUZZ_STREAMS'] ?? (isLong ? 1_000_000 : 100_000));
const seed = Number(process.env['MQP_SEED'] ?? Date.now() % 2 ** 31) >>> 0;
const heapGrowthBytesMax = 64 * 1024 * 1024;
const vectors = readVectors()
  .flatMap((file) => file.vectors)
  .filter((vector) => vector.hex.length <= 8192)
  .map((vector) => ({ vector, bytes: Buffer.from(vector.hex, 'hex') }));
const framed = vectors.filter(({ vector }) => vector.framed);
const unframed = vectors.filter(({ vector }) => !vector.framed);
/** Every decoder that a node or a client would hand a frame of this opcode to. */
const typesOf = decodersByOpcode(framed.map(({ vector }) => vector));
const OPCODES = [...typesOf.keys()];

test(`${streams} fuzzed streams give frames or a ProtocolError, in bounded memory, seed=${seed}`, () => {
  console.log(`seed=${seed}`);
  const outcomes = new Map<string, number>();
  const heapBefore = process.memoryUsage().arrayBuffers;
  for (let stream = 0; stream < streams; stream++) {
    const random = generator(seed + stream);
    const outcome = runStream(random, stream);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (stream % 8 === 0) runBytes(random, stream);
    if (stream % 10_000 === 0) {
      const growth = process.memoryUsage().arrayBuffers - heapBefore;
      assert.ok(
        growth < heapGrowthBytesMax,
        `seed=${seed} stream=${stream}: grew by ${growth} bytes`,
      );
    }
  }
  console.log(Object.fromEntries([...outcomes].sort()));
  // A fuzzer that reaches one outcome only tests nothing.
  for (const name of ['frames', 'MALFORMED', 'UNKNOWN_FLAGS', 'FRAME_TOO_LARGE', 'BAD_MAGIC']) {
    assert.ok((outcomes.get(name) ?? 0) > streams / 1000, `seed=${seed}: hardly any ${name}`);
  }
});

test('a peer that promises much and sends little costs what it sent', () => {
  const decoder = new FrameDecoder({ frameBytesMax: PROTOCOL_LIMIT.frameBytesMax });
  const before = process.memoryUsage().arrayBuffers;
  const held: FrameDecoder[] = [decoder];
  for (let i = 0; i < 1000; i++) {
    const greedy = new FrameDecoder({ frameBytesMax: PROTOCOL_LIMIT.frameBytesMax });
    const header = Buffer.alloc(12);
    header.writeUInt32BE(PROTOCOL_LIMIT.frameBytesMax);
    greedy.push(header);
    assert.equal(greedy.next(), undefined);
    held.push(greedy);
  }
  const each = (process.memoryUsage().arrayBuffers - before) / held.length;
  assert.ok(each < 16 * 1024, `${each} bytes for each of them`);
});

/** One stream: mutated frames and noise, in chunks of any size. Returns how it ended. */
function runStream(random: Random, stream: number): string {
  const bytes = makeStream(random);
  const frameBytesMax = random.below(4) === 0 ? 8192 : PROTOCOL_LIMIT.frameBytesMax;
  const decoder = new FrameDecoder({ frameBytesMax });
  let outcome = 'frames';
  try {
    let at = 0;
    while (at < bytes.length) {
      const size = random.below(3) === 0 ? 1 + random.below(16) : 1 + random.below(bytes.length);
      decoder.push(bytes.subarray(at, at + size));
      at += size;
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        outcome = decodeEverywhere(frame, random) ?? outcome;
      }
      assert.ok(decoder.bufferedBytes <= bytes.length, 'holds more than was sent');
    }
  } catch (error) {
    assertProtocolError(error, stream, bytes);
    outcome = error.name;
    assert.throws(() => decoder.next(), ProtocolError, 'goes on after an error');
  }
  return outcome;
}

/** Hands a frame to the decoders of its opcode, and sometimes to one of another. */
function decodeEverywhere(frame: Frame, random: Random): string | undefined {
  const failed = (frame.opcode & ANSWER) !== 0 && (frame.flags & AnswerFlag.FAILED) !== 0;
  const own = failed ? ['error'] : (typesOf.get(frame.opcode) ?? []);
  const all = Object.keys(frameCodecs).filter((type) => type !== 'error');
  const types = random.below(8) === 0 ? [...own, random.pick(all)] : own;
  let outcome: string | undefined;
  for (const type of types) {
    try {
      frameCodecs[type]!.decode(frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      outcome = error.name;
    }
  }
  return outcome;
}

function runBytes(random: Random, stream: number): void {
  const { vector, bytes } = random.pick(unframed);
  const mutated = mutate(bytes, random);
  try {
    byteCodecs[vector.type]!.decode(mutated);
  } catch (error) {
    assertProtocolError(error, stream, mutated);
  }
}

function assertProtocolError(
  error: unknown,
  stream: number,
  bytes: Buffer,
): asserts error is ProtocolError {
  if (error instanceof ProtocolError) return;
  const words = `MQP_SEED=${seed} stream=${stream} bytes=${bytes.toString('hex')}`;
  throw new assert.AssertionError({ message: `${words}: ${(error as Error)?.stack}` });
}

function makeStream(random: Random): Buffer {
  if (random.below(20) === 0) return random.bytes(1 + random.below(200));
  const parts: Buffer[] = [];
  for (let i = 1 + random.below(4); i > 0; i--) {
    const { bytes } = random.pick(framed);
    parts.push(random.below(3) === 0 ? bytes : mutate(bytes, random));
  }
  return Buffer.concat(parts);
}

/** Flips, sets, inserts, cuts; half the time the length field is made right again. */
function mutate(bytes: Buffer, random: Random): Buffer {
  let out = Buffer.from(bytes);
  for (let i = 1 + random.below(4); i > 0; i--) {
    const at = random.below(out.length + 1);
    const tail = out.subarray(at);
    switch (random.below(6)) {
      case 0:
        out = Buffer.concat([out.subarray(0, at), random.bytes(1 + random.below(8)), tail]);
        break;
      case 1:
        out = Buffer.concat([out.subarray(0, at), tail.subarray(random.below(tail.length + 1))]);
        break;
      case 2:
        if (out.length > 4) out[4] = random.pick(OPCODES);
        break;
      case 3:
        if (tail.length >= 4) out.writeUInt32BE(random.pick([0, 1, 0x7fffffff, 0xffffffff]), at);
        break;
      default:
        if (tail.length > 0)
          out[at] = random.below(2) === 0 ? random.below(256) : out[at]! ^ (1 << random.below(8));
    }
  }
  if (out.length >= 12 && random.below(4) > 0) out.writeUInt32BE(out.length - 4, 0);
  return out;
}

function decodersByOpcode(all: readonly Vector[]): Map<number, string[]> {
  const types = new Map<number, string[]>();
  for (const vector of all) {
    if (vector.kind === 'malformed' || vector.type === 'error') continue;
    const opcode = parseInt(vector.hex.slice(8, 10), 16);
    const known = types.get(opcode) ?? [];
    if (!known.includes(vector.type)) types.set(opcode, [...known, vector.type]);
  }
  return types;
}

interface Random {
  below(bound: number): number;
  bytes(length: number): Buffer;
  pick<T>(items: readonly T[]): T;
}

/** mulberry32: small, seeded, good enough to choose mutations. */
function generator(from: number): Random {
  let state = from >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (bound: number) => next() % bound;
  return {
    below,
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
    pick: (items) => items[below(items.length)]!,
  };
}
