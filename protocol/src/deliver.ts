import type { FrameWriter } from './frame-writer.ts';
import { Opcode } from './generated.ts';

/** What stands before the records of a run: messages of one partition under one token. */
export interface RunHead {
  /** The topic's name, UTF-8. */
  readonly topic: Uint8Array;
  /** 0 primary or embedded, 1 backup. */
  readonly cluster: number;
  readonly partition: number;
  /** 48 bytes. */
  readonly token: Uint8Array;
  /** What indexes count from: index = offset − firstOffset. */
  readonly firstOffset: number;
  /** Records of the run: 1 to 65,535. */
  readonly count: number;
}

// [P-12.7] deliver := subscription:u32 run+          node → client, correlationId 0, no answer
//          run := topicLength:u16 topic cluster:u8 partition:u32 token:48 firstOffset:u64
//                 count:u16 recordsLength:u32 attempt:u16{count} record{count}
//          record: as in TAIL [P-7.3]; offsets rise; firstOffset ≤ offset ≤ firstOffset + 65,535

/** Bytes of a run without its topic's name, its attempts (2 each) and its records. */
export const RUN_HEAD_BYTES = 2 + 1 + 4 + 48 + 8 + 2 + 4;

/** Begins a DELIVER; then runs, then `writer.end()`. */
export function beginDeliver(writer: FrameWriter, subscription: number): void {
  writer.begin(Opcode.DELIVER, 0, 0, 0);
  writer.u32(subscription);
}

/**
 * Begins a run. Then `writer.u16` or `writer.u16s` for its attempts, the bytes of its records,
 * `writer.copy` from where they were fetched, and `endRun` with what this returned.
 */
export function beginRun(writer: FrameWriter, head: RunHead): number {
  writer.u16(head.topic.length);
  writer.bytes(head.topic);
  writer.u8(head.cluster);
  writer.u32(head.partition);
  writer.bytes(head.token);
  writer.u64(head.firstOffset);
  writer.u16(head.count);
  const at = writer.length;
  writer.u32(0);
  return at;
}

/** Fills in the length of the records. */
export function endRun(writer: FrameWriter, at: number, count: number): void {
  writer.patchU32(at, writer.length - at - 4 - 2 * count);
}
