import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Frame } from '../../../protocol/src/frame.ts';
import { FrameDecoder } from '../../../protocol/src/frame-decoder.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ANSWER, Answer, Opcode, PROTOCOL_LIMIT } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { Fields } from '../../support/frame-codec.ts';
import { byteCodecs, frameCodecs, fromJson, toJson } from '../../support/vector-codecs.ts';
import { readVectors, type Vector, vectorsDir } from '../../support/vectors.ts';

const SPLITS_ALL_BYTES_MAX = 4096;
const FROM_NODE = new Set<number>([Opcode.GOAWAY, Opcode.DELIVER, Opcode.ASSIGNED]);
const files = readVectors();

for (const { file, vectors } of files) {
  describe(`vectors of ${file}`, () => {
    for (const vector of vectors) {
      const expected = vector.error ?? 'decodes';
      test(`${vector.type}: ${vector.name}: ${expected}, whole and split`, () => check(vector));
      if (vector.fields !== undefined && vector.reencode !== false) {
        test(`${vector.type}: ${vector.name}: is what the encoder writes`, () =>
          checkEncoder(vector));
      }
    }
  });
}

test('every opcode has a request, a response and a malformed vector', () => {
  const has = (kind: string, opcode: number) =>
    files.some(({ vectors }) =>
      vectors.some(
        (vector) =>
          vector.framed && vector.kind === kind && parseInt(vector.hex.slice(8, 10), 16) === opcode,
      ),
    );
  for (const [name, opcode] of Object.entries(Opcode)) {
    const isProduce = opcode === Opcode.PRODUCE || opcode === Opcode.PRODUCE_BATCH;
    const answer = isProduce ? Answer.PRODUCED : opcode | ANSWER;
    if (FROM_NODE.has(opcode)) {
      assert.ok(has('response', opcode) && has('malformed', opcode), name);
      continue;
    }
    assert.ok(has('request', opcode), `${name}: no request`);
    if (opcode !== Opcode.CREDIT) assert.ok(has('response', answer), `${name}: no response`);
    assert.ok(has('malformed', opcode), `${name}: no malformed request`);
  }
});

test('the committed vectors are what the second implementation gives', (t) => {
  const { status, stderr, error } = spawnSync(
    'python3',
    ['-B', join(vectorsDir, 'make.py'), '--check'],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return t.skip('python3 is not there');
  assert.equal(status, 0, stderr);
});

function check(vector: Vector): void {
  const bytes = Buffer.from(vector.hex, 'hex');
  if (!vector.framed) {
    const decode = () => byteCodecs[vector.type]!.decode(bytes);
    if (vector.error !== undefined) assertRefuses(decode, vector.error);
    else assert.deepEqual(toJson(decode()), vector.fields);
    return;
  }
  for (const chunks of cuts(bytes)) {
    const decode = () => decodeAll(vector, chunks);
    if (vector.error !== undefined) assertRefuses(decode, vector.error);
    else assert.deepEqual(decode(), [vector.fields]);
  }
}

function checkEncoder(vector: Vector): void {
  const fields = fromJson(vector.fields!) as Fields;
  if (!vector.framed) {
    assert.equal(byteCodecs[vector.type]!.encode(fields).toString('hex'), vector.hex);
    return;
  }
  const writer = new FrameWriter({ bytesStart: 16 });
  frameCodecs[vector.type]!.encode(writer, fields);
  assert.equal(writer.view().toString('hex'), vector.hex);
}

function decodeAll(vector: Vector, chunks: readonly Buffer[]): unknown[] {
  const frameBytesMax = vector.frameBytesMax ?? PROTOCOL_LIMIT.frameBytesMax;
  const decoder = new FrameDecoder({ frameBytesMax });
  const decoded: unknown[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      decoded.push(toJson(decodeFrame(vector, frame)));
    }
  }
  assert.equal(decoder.bufferedBytes, 0, 'bytes are left over');
  return decoded;
}

function decodeFrame(vector: Vector, frame: Frame): unknown {
  const codec = frameCodecs[vector.type];
  assert.ok(codec, `no codec for ${vector.type}`);
  return codec.decode(frame);
}

/** Whole, byte by byte, and in two at every point (long ones: near both ends, and now and then). */
function* cuts(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes];
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  for (let at = 1; at < bytes.length; at++) {
    const nearEnd = at < 64 || at > bytes.length - 64;
    if (bytes.length > SPLITS_ALL_BYTES_MAX && !nearEnd && at % 4999 !== 0) continue;
    yield [bytes.subarray(0, at), bytes.subarray(at)];
  }
}

function assertRefuses(decode: () => unknown, name: string): void {
  assert.throws(decode, (error: unknown) => {
    assert.ok(error instanceof ProtocolError, String(error));
    assert.equal(error.name, name, error.message);
    return true;
  });
}
