import type { Refusal } from '../../store/lane-store.ts';
import type { Backlog } from './backlog.ts';
import type { Lag } from './lag.ts';

/** What {@link dropWaiting} needs of the lane. */
export interface TopicDropParts {
  /** For this walk alone. */
  readonly backlog: Backlog;
  /** Of every message that is given up. */
  readonly reason: string;
  /** Where the walk ends: from here on nothing was to be sent yet. */
  end(): number;
  /** Nothing more may be given up: the log is full, or the lane is closed. */
  isOver(): boolean;
  /** Answers how many it moved, when they are durable and told; the others had their end. */
  refuse(refusals: readonly Refusal[]): Promise<number>;
}

/** Gives up what waits of a topic, which nobody else may send meanwhile. Answers how many. */
export async function dropWaiting(lag: Lag, parts: TopicDropParts): Promise<number> {
  const { backlog, reason } = parts;
  let dropped = 0;
  while (lag.next < parts.end() && !parts.isOver()) {
    const from = lag.next;
    const read = await backlog.read(from);
    // What came back meanwhile stands before what was read.
    if (lag.next < from) continue;
    const end = Math.min(read.nextSequence, parts.end());
    const refusals: Refusal[] = [];
    for (const batch of read.batches) {
      const wants = (id: number, sequence: number): boolean =>
        id === lag.topic && sequence < end && lag.wants(sequence);
      const { skip } = backlog.skipBut(batch, wants);
      for (const [ordinal, skipped] of skip.entries()) {
        if (skipped === 1) continue;
        const sequence = batch.firstSequence + ordinal;
        refusals.push({ sequence, code: 'UNKNOWN_TOPIC', reason });
      }
    }
    lag.advance(end);
    if (refusals.length > 0) dropped += await parts.refuse(refusals);
  }
  return dropped;
}
