import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFrame } from '../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { limits } from '../../../src/base/limits.ts';
import { refuseProduced } from '../../../src/server/refuse-produced.ts';
import { framesOf } from '../../support/raw-client.ts';

test('each message of a long run is refused once, in frames that every client takes', () => {
  for (const count of [1, 1_000, 1_001, 5_000]) {
    const run = framesOf({ topic: 1, first: 1, values: new Array(count).fill('v') });
    const bytes = refuseProduced(new FrameWriter(), run, ErrorCode.DRAINING);
    const refused: number[] = [];
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      assert(bytes.readUInt32BE(at) <= limits.frameBytesMin);
      const { body } = readFrame(bytes, at);
      for (let i = 0; i < body.length; i += 16) refused.push(body.readUInt32BE(i));
    }
    assert.deepEqual(
      refused,
      Array.from({ length: count }, (_, i) => i + 1),
    );
  }
});
