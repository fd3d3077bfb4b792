import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ErrorCode, Opcode, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SettleEntries } from './settle-entries.ts';

// [P-12.12] extend := leaseMs:u32 entry+      entry: settle-entries.ts, answer: settled.ts

/** Begins an EXTEND; then entries by `writeSettleEntry`, then `writer.end()`. */
export function beginExtend(writer: FrameWriter, correlationId: number, leaseMs: number): void {
  writer.begin(Opcode.EXTEND, 0, 0, correlationId);
  writer.u32(leaseMs);
}

/**
 * Sets `entries` to the frame's and returns the lease from now on, in milliseconds.
 * @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT
 */
export function decodeExtend(frame: Frame, entries: SettleEntries): number {
  checkFlags(frame.flags, 0, 'EXTEND');
  const leaseMs = new BodyReader(frame.body, 'EXTEND').u32('leaseMs');
  entries.reset(frame.body, 4, 'EXTEND');
  const { leaseMsMin, leaseMsMax } = PROTOCOL_LIMIT;
  if (leaseMs < leaseMsMin || leaseMs > leaseMsMax) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      `leaseMs is ${leaseMsMin} to ${leaseMsMax}`,
    );
  }
  return leaseMs;
}
