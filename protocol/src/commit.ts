import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ACK_FLAGS, AckFlag, Opcode } from './generated.ts';
import { TOKEN_BYTES } from './settle-entries.ts';

/** Acks everything of a partition up to one message; partition-ordered groups only. */
export interface Commit {
  /** Answer after the commit that carries it. */
  readonly committed: boolean;
  /** 48 bytes; borrowed from the frame when decoded. */
  readonly token: Uint8Array;
  readonly index: number;
}

// [P-12.13] commit := token:48 index:u16      flags: COMMITTED; answer: settled.ts

export function encodeCommit(writer: FrameWriter, correlationId: number, commit: Commit): void {
  writer.begin(Opcode.COMMIT, commit.committed ? AckFlag.COMMITTED : 0, 0, correlationId);
  writer.bytes(commit.token);
  writer.u16(commit.index);
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
export function decodeCommit(frame: Frame): Commit {
  checkFlags(frame.flags, ACK_FLAGS, 'COMMIT');
  const reader = new BodyReader(frame.body, 'COMMIT');
  const commit = {
    committed: (frame.flags & AckFlag.COMMITTED) !== 0,
    token: reader.bytes(TOKEN_BYTES, 'token'),
    index: reader.u16('index'),
  };
  reader.end();
  return commit;
}
