import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, readFrame } from '../../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../../protocol/src/frame-writer.ts';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { encodeTail } from '../../../../protocol/src/tail.ts';
import type { TailRequest } from '../../../../src/backend/port.ts';
import { tailBytesMax } from '../../../../src/node-settings.ts';
import type { NodeContext, WriteAnswer } from '../../../../src/server/handler.ts';
import { tail } from '../../../../src/server/handlers/tail.ts';
import type { Session } from '../../../../src/server/session.ts';
import { fullAccess } from '../../../../src/server/tokens.ts';
import { fetched } from '../../../support/fetched.ts';

const frameBytesMax = 16 * 1024;

/** What a node of short frames answers whose backend holds one record, of so many bytes. */
async function answerOf(recordBytes: number, kind: 'kafka' | 'embedded', asked: TailRequest[]) {
  const { records } = fetched([{ offset: 41, value: Buffer.alloc(recordBytes - 21) }]);
  const at = { partition: 3, startOffset: 0, endOffset: 42 };
  const backend = {
    kind,
    tail: async (request: TailRequest) => {
      asked.push(request);
      const isNothing = asked.length === 1 && kind === 'embedded';
      const none = { ...at, nextOffset: 41, count: 0, records: Buffer.alloc(0) };
      return isNothing ? none : { ...at, nextOffset: 42, count: 1, records };
    },
  };
  const limits = { frameBytesMax, tailBytesMax: tailBytesMax(frameBytesMax) };
  const session = {
    access: fullAccess,
    topicNames: ['', 'orders'],
    abort: new AbortController(),
    reads: { enter: async () => true, leave: () => {} },
  };
  const writer = new FrameWriter();
  const request = { topic: 1, partition: 3, from: 1, position: 0, bytesMax: 1 << 20, waitMs: 9 };
  encodeTail(writer, 7, request);
  const frame: Frame = readFrame(writer.detach(), 0);
  const context = { backend, limits } as unknown as NodeContext;
  const write: WriteAnswer = await tail(context, session as unknown as Session, frame);
  write(writer);
  return writer.detach();
}

for (const kind of ['kafka', 'embedded'] as const) {
  test(`what is asked of ${kind} and what is answered fits a frame`, async () => {
    const asked: TailRequest[] = [];
    const answer = await answerOf(frameBytesMax - 40, kind, asked);
    assert.equal(answer.readUInt32BE(0), frameBytesMax);
    assert(asked.every(({ bytesMax }) => bytesMax === frameBytesMax - 40));
  });

  test(`a record of ${kind} that fits no frame is refused with its place and what to do`, async () => {
    await assert.rejects(answerOf(frameBytesMax - 39, kind, []), {
      code: ErrorCode.MESSAGE_TOO_LARGE,
      message:
        'topic orders, partition 3: the record at offset 41 has 16345 bytes, ' +
        'more than a frame of 16384 carries; read on from 42',
    });
  });
}
