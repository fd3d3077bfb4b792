import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, test } from 'node:test';
import { ErrorCode, TailFrom } from '../../../protocol/src/generated.ts';
import { beginTailAnswer, writeTailRecord } from '../../../protocol/src/tail.ts';
import { repoRoot } from '../../support/repo.ts';
import { FakeNode, type FakeScript } from '../sdk/fake-node.ts';

const script = join(repoRoot, 'test', 'support', 'client.py');
const id = { producerId: 0xffn, epoch: 1, sequence: 1 };
let node: FakeNode | undefined;

afterEach(async () => {
  await node?.close();
});

test('the Python client has 60 lines and needs the standard library alone', () => {
  const lines = readFileSync(script, 'utf8').split('\n');
  assert.ok(lines.filter((line) => line.trim() !== '').length <= 60);
  const imports = lines.filter((line) => /^(import|from) /.test(line));
  assert.deepEqual(imports, ['import queue, socket, struct, sys, threading, time']);
});

test('the Python client produces a line per message, in order', async () => {
  const expected = Array.from({ length: 5000 }, (_, i) => `line ${i}`);
  const result = await run({}, ['produce', 'orders'], expected.map((line) => `${line}\n`).join(''));
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(node?.values, expected);
  assert.deepEqual(node?.opens, ['orders']);
});

test('the Python client goes back to the first refused line', async () => {
  let expected = 1;
  let refusals = 0;
  const taken: (string | undefined)[] = [];
  const result = await run(
    {
      produce: ({ sequence, value }) => {
        if (sequence !== expected) return { code: ErrorCode.OUT_OF_SEQUENCE, detail: expected };
        if (sequence === 300 && refusals++ < 2) return { code: ErrorCode.RETRY_LATER, detail: 20 };
        expected += 1;
        taken.push(value);
        return 'ok';
      },
    },
    ['produce', 'orders'],
    Array.from({ length: 1000 }, (_, i) => `${i}\n`).join(''),
  );
  assert.equal(result.code, 0, result.stderr);
  assert.equal(refusals, 3);
  assert.deepEqual(
    taken,
    Array.from({ length: 1000 }, (_, i) => String(i)),
  );
});

test('the Python client stops at a final refusal with its code', async () => {
  const tooLarge = { code: ErrorCode.MESSAGE_TOO_LARGE, detail: 0 };
  const result = await run({ produce: () => tooLarge }, ['produce', 'orders'], 'x\n');
  assert.equal(result.code, 1);
  assert.match(result.stderr, /line 1: refused with code 30/);
});

test('the Python client says why HELLO was refused', async () => {
  const refusal = { code: ErrorCode.AUTHENTICATION_FAILED, message: 'no such token' };
  const result = await run({ hello: () => refusal }, ['produce', 'orders'], '');
  assert.equal(result.code, 1);
  assert.match(result.stderr, /refused: code 8, .*no such token/);
});

test('the Python client tails values of every kind of record, and goes on at nextOffset', async () => {
  const positions: number[] = [];
  const result = await run(
    {
      tail: ({ from, position, partition }, session, correlationId) => {
        assert.equal(from, positions.length === 0 ? TailFrom.BEGINNING : TailFrom.OFFSET);
        positions.push(position);
        const head = { partition, startOffset: 0, endOffset: 9, nextOffset: position + 7 };
        const count = positions.length === 2 ? 0 : 3;
        beginTailAnswer(session.writer, correlationId, { ...head, count });
        const key = Buffer.from('key');
        const headers = [{ name: 'n', value: null }];
        for (const value of [Buffer.from(`a${position}`), null, Buffer.from('c')].slice(0, count)) {
          const full = value?.length === 1 ? {} : { id, key, headers };
          writeTailRecord(session.writer, { offset: position, timestampMs: 1, value, ...full });
        }
        session.writer.end();
      },
    },
    ['tail', 'orders', '5', '1'],
    '',
  );
  assert.equal(result.code, 0, result.stderr);
  assert.equal(result.stdout, 'a0\n\nc\na14\n\n');
  assert.deepEqual(positions, [0, 7, 14]);
});

async function run(fake: FakeScript, args: readonly string[], input: string) {
  node = await FakeNode.start(fake);
  const child = spawn('python3', ['-B', script, '127.0.0.1', String(node.port), ...args]);
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code: child.exitCode, stdout, stderr };
}
