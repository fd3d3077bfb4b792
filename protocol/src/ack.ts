import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ACK_FLAGS, AckFlag, Opcode } from './generated.ts';
import type { SettleEntries } from './settle-entries.ts';

// [P-12.9] ack := entry+     flags: COMMITTED     entry: settle-entries.ts, answer: settled.ts

/** Begins an ACK; then entries by `writeSettleEntry`, then `writer.end()`. */
export function beginAck(writer: FrameWriter, correlationId: number, committed: boolean): void {
  writer.begin(Opcode.ACK, committed ? AckFlag.COMMITTED : 0, 0, correlationId);
}

/**
 * Sets `entries` to the frame's; true when the answer is wanted after the commit.
 * @throws ProtocolError UNKNOWN_FLAGS, MALFORMED
 */
export function decodeAck(frame: Frame, entries: SettleEntries): boolean {
  checkFlags(frame.flags, ACK_FLAGS, 'ACK');
  entries.reset(frame.body, 0, 'ACK');
  return (frame.flags & AckFlag.COMMITTED) !== 0;
}
