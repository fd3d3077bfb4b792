import { type Verdict, verdictOf } from '../../backend/kafka/verdict-codes.ts';
import { VERDICT, VERDICT_COLUMNS } from '../../native/kafka.ts';

/** Consecutive messages of a topic, by the lane's sequences. */
export interface MessageRun {
  readonly topic: number;
  readonly first: number;
  readonly count: number;
}

/** Who hears what became of messages. */
export interface VerdictSink {
  /** A full queue has room again. */
  hasRoom(): void;
  /** What was deferred of a topic may be sent. */
  isReady(topic: number): void;
  /** They are in the log; partition and offset are -1 when nobody asked. */
  confirmed(run: MessageRun, partition: number, offset: number): void;
  /** The backend refuses them for good. */
  refused(run: MessageRun, verdict: Verdict): void;
  /** They are not in the log, or nobody knows: to be sent again. */
  returned(run: MessageRun, verdict: Verdict): void;
  /** The instance of this generation sends nothing more. */
  broken(generation: number): void;
}

/** Deals out the rows of delivery reports; *borrowed*. Answers how many messages they settle. */
export function dealVerdicts(rows: Float64Array, count: number, sink: VerdictSink): number {
  let settled = 0;
  for (let at = 0; at < count * VERDICT_COLUMNS; at += VERDICT_COLUMNS) {
    const topic = rows[at + VERDICT.topicId] as number;
    const messages = rows[at + VERDICT.count] as number;
    if (messages === 0) {
      if (topic < 0) sink.hasRoom();
      else sink.isReady(topic);
      continue;
    }
    settled += messages;
    const run = { topic, first: rows[at + VERDICT.firstSequence] as number, count: messages };
    const code = rows[at + VERDICT.code] as number;
    if (code === 0) {
      const partition = rows[at + VERDICT.partition] as number;
      sink.confirmed(run, partition, rows[at + VERDICT.baseOffset] as number);
      continue;
    }
    const verdict = verdictOf(code);
    if (verdict.kind === 'refused') sink.refused(run, verdict);
    else sink.returned(run, { ...verdict, name: verdict.name ?? `kafka error ${code}` });
    if (verdict.kind === 'fatal') sink.broken(rows[at + VERDICT.generation] as number);
  }
  return settled;
}
