import type { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { Opcode, ProducedForm } from '../../protocol/src/generated.ts';
import { beginProduced, writeRefused } from '../../protocol/src/produced.ts';

/** How long a client is told to wait before it comes back, in ms. */
const RETRY_AFTER_MS = 1_000;
/** Entries of one frame, of 16 bytes each: fewer than fill the shortest frame. */
const ENTRIES_MAX = 1_000;

// [P-6.5] One REFUSED entry for each frame of a run of PRODUCE and PRODUCE_BATCH frames.
/** Answers a run of whole produce frames with a retriable code; what comes back is *owned*. */
export function refuseProduced(writer: FrameWriter, frames: Buffer, code: number): Buffer {
  let entries = 0;
  writer.reset();
  for (let at = 0; at < frames.length; at += 4 + frames.readUInt32BE(at)) {
    if (entries > 0 && entries % ENTRIES_MAX === 0) writer.end();
    if (entries++ % ENTRIES_MAX === 0) beginProduced(writer, ProducedForm.REFUSED);
    const isBatch = frames[at + 4] === Opcode.PRODUCE_BATCH && frames.readUInt32BE(at) >= 16;
    const count = isBatch ? frames.readUInt16BE(at + 18) || 1 : 1;
    writeRefused(writer, frames.readUInt32BE(at + 8), count, { code, detail: RETRY_AFTER_MS });
  }
  writer.end();
  return Buffer.from(writer.view());
}
