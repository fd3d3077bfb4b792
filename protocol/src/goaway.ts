import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { Opcode } from './generated.ts';

/** The node is going: send nothing new, wait for what is in flight, then close. */
export interface Goaway {
  /** An error code: why. */
  readonly reason: number;
  /** How long the node goes on answering, in milliseconds. */
  readonly drainMs: number;
}

// [P-4.4] goaway := reason:u16 drainMs:u32      node → client, correlationId 0, no answer

export function encodeGoaway(writer: FrameWriter, goaway: Goaway): void {
  writer.begin(Opcode.GOAWAY, 0, 0, 0);
  writer.u16(goaway.reason);
  writer.u32(goaway.drainMs);
  writer.end();
}

export function decodeGoaway(frame: Frame): Goaway {
  checkFlags(frame.flags, 0, 'GOAWAY');
  const reader = new BodyReader(frame.body, 'GOAWAY');
  const goaway = { reason: reader.u16('reason'), drainMs: reader.u32('drainMs') };
  reader.end();
  return goaway;
}
