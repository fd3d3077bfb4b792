import { ErrorCode } from '../../../protocol/src/generated.ts';
import type { Clock } from '../../base/clock.ts';
import type { RingReader } from '../../lanes/ring.ts';
import { type BatchBuilder, SEGMENT_INTS, segmentField } from '../../native/batch-builder.ts';
import type { Acker } from './acker.ts';
import { ArraySlab } from './array-slab.ts';
import type { LaneStats } from './lane-stats.ts';
import { stat } from './lane-stats.ts';
import { addSegment, emptyMicroBatch, type MicroBatch } from './micro-batch.ts';
import { judgement, type Stretch } from './producer-session.ts';
import type { LaneSession, Producers } from './producers.ts';

/** A stretch of messages as the native scan found it. */
interface Segment {
  session: number;
  ordinal: number;
  count: number;
  correlationId: number;
  sequence: number;
  replicated: boolean;
  due: boolean;
  code: number;
  topic: number;
}

/** What intake asks of the journal before it accepts anything. */
export interface Gate {
  readonly refusesReplicated: boolean;
  /** Milliseconds to wait when nothing may be taken now, else 0. */
  readonly retryAfterMs: number;
  /** The retriable code that says why. */
  readonly code: number;
}

/** Hooks of {@link Intake}. */
export interface IntakeOptions {
  readonly reader: RingReader;
  readonly builder: BatchBuilder;
  readonly producers: Producers;
  readonly acker: Acker;
  readonly clock: Clock;
  readonly stats: LaneStats;
  readonly batchBytesMax: number;
  /** The name of a node topic id. */
  topicName(id: number): string;
  /** This connection broke the protocol and is to be closed. */
  onFatal(session: number, code: number): void;
}

const FATAL = new Set<number>([ErrorCode.MALFORMED, ErrorCode.UNKNOWN_FLAGS]);

/**
 * Takes what waits in the ring and decides on every message: accepted into the micro-batch,
 * known already, or refused. Refusals are given to the acker at once; the rest after the write.
 */
export class Intake {
  private readonly options: IntakeOptions;
  private readonly slab = new ArraySlab();
  private readonly segment: Segment = {
    session: 0,
    ordinal: 0,
    count: 0,
    correlationId: 0,
    sequence: 0,
    replicated: false,
    due: false,
    code: 0,
    topic: -1,
  };

  constructor(options: IntakeOptions) {
    this.options = options;
  }

  /**
   * Scans up to a micro-batch and judges it. Undefined when nothing waits. The ring's bytes stay
   * borrowed until the caller has encoded the batch and released the reader.
   */
  take(gate: Gate): MicroBatch | undefined {
    const { reader, builder, batchBytesMax } = this.options;
    const to = reader.to;
    if (reader.from === to) return undefined;
    const nowMs = this.options.clock.now();
    const segments = builder.scan(reader.bytes, reader.from, to, batchBytesMax, nowMs);
    reader.skipTo(builder.consumed);
    const batch = emptyMicroBatch(nowMs, segments, this.slab);
    for (let i = 0; i < segments; i++) {
      this.read(i);
      this.judge(batch, gate);
    }
    for (let i = 0; i < builder.topicCount; i++) {
      const id = builder.topics[i] as number;
      batch.topics.push({ id, name: this.options.topicName(id) });
    }
    return batch;
  }

  private read(index: number): void {
    const ints = this.options.builder.segments;
    const at = index * SEGMENT_INTS;
    const segment = this.segment;
    segment.session = (ints[at + segmentField.connection] as number) >>> 0;
    segment.ordinal = ints[at + segmentField.ordinal] as number;
    segment.count = ints[at + segmentField.count] as number;
    segment.correlationId = (ints[at + segmentField.correlationId] as number) >>> 0;
    segment.sequence =
      (ints[at + segmentField.sequenceHigh] as number) * 4_294_967_296 +
      ((ints[at + segmentField.sequenceLow] as number) >>> 0);
    segment.replicated = ints[at + segmentField.level] === 1;
    segment.due = ints[at + segmentField.due] === 1;
    segment.code = ints[at + segmentField.code] as number;
    segment.topic = ints[at + segmentField.topic] as number;
  }

  private judge(batch: MicroBatch, gate: Gate): void {
    const { segment } = this;
    const session = this.options.producers.session(segment.session);
    if (session === undefined) {
      this.drop(0, segment.count);
      return;
    }
    if (session.fenced) {
      this.refuse(0, segment.count, ErrorCode.FENCED, 0);
      return;
    }
    if (FATAL.has(segment.code)) {
      this.refuse(0, segment.count, segment.code, 0);
      this.options.onFatal(segment.session, segment.code);
      return;
    }
    const { producer, ordered } = session;
    const stretches = producer.judge(segment.sequence, segment.count, ordered);
    for (let i = 0; i < stretches.length; i++) {
      this.settle(batch, gate, session, stretches[i] as Stretch);
    }
  }

  private settle(batch: MicroBatch, gate: Gate, session: LaneSession, stretch: Stretch): void {
    const { segment } = this;
    const { producer, ordered } = session;
    const skipped = stretch.first - segment.sequence;
    const { verdict, count } = stretch;
    if (verdict === judgement.outOfSequence) {
      this.refuse(skipped, count, ErrorCode.OUT_OF_SEQUENCE, producer.expected);
    } else if (verdict === judgement.duplicate) {
      // Whatever has changed since it was taken: it was taken.
      this.duplicate(batch, session, stretch);
    } else if (segment.code !== 0 && isRetriable(segment.code)) {
      this.refuse(skipped, count, segment.code, gate.retryAfterMs);
    } else if (segment.code !== 0) {
      if (verdict === judgement.accept && ordered) this.pass(batch, session, stretch, segment.code);
      else this.refuse(skipped, count, segment.code, 0);
    } else if (verdict === judgement.tooOld) {
      this.refuse(skipped, count, ErrorCode.SEQUENCE_TOO_OLD, 0);
    } else if (segment.replicated && gate.refusesReplicated) {
      const code = ErrorCode.NOT_SUPPORTED;
      if (ordered) this.pass(batch, session, stretch, code);
      else this.refuse(skipped, count, code, 0);
    } else if (gate.retryAfterMs > 0) {
      this.refuse(skipped, count, gate.code, gate.retryAfterMs);
    } else {
      producer.accept(stretch.first, count, ordered);
      addSegment(batch, {
        session: segment.session,
        correlationId: (segment.correlationId + skipped) >>> 0,
        count,
        sequence: stretch.first,
        replicated: segment.replicated,
        due: segment.due,
        producer,
      });
    }
  }

  private duplicate(batch: MicroBatch, session: LaneSession, stretch: Stretch): void {
    const { segment } = this;
    const skipped = stretch.first - segment.sequence;
    this.drop(skipped, stretch.count);
    this.options.stats.add(stat.duplicates, stretch.count);
    batch.duplicates.push({
      session: segment.session,
      correlationId: (segment.correlationId + skipped) >>> 0,
      count: stretch.count,
      producer: session.producer,
      sequence: stretch.first,
      replicated: segment.replicated,
      topic: segment.topic,
    });
  }

  /** Refused for good: answered when it is durable that the session goes on behind it. */
  private pass(batch: MicroBatch, session: LaneSession, stretch: Stretch, code: number): void {
    const { segment } = this;
    const { producer } = session;
    const { first: sequence, count } = stretch;
    const skipped = sequence - segment.sequence;
    producer.pass(sequence, count);
    this.drop(skipped, count);
    this.options.stats.refuse(code, count);
    batch.passes.push({
      session: segment.session,
      correlationId: (segment.correlationId + skipped) >>> 0,
      count,
      producer,
      sequence,
      code,
    });
  }

  private refuse(skipped: number, count: number, code: number, detail: number): void {
    const { segment } = this;
    this.drop(skipped, count);
    const first = (segment.correlationId + skipped) >>> 0;
    this.options.acker.refused(segment.session, first, count, { code, detail });
    this.options.stats.refuse(code, count);
  }

  /** Keeps these messages of the segment out of the encoded batch. */
  private drop(skipped: number, count: number): void {
    const from = this.segment.ordinal + skipped;
    this.options.builder.accept.fill(0, from, from + count);
  }
}

function isRetriable(code: number): boolean {
  return code === ErrorCode.TOPIC_UNCONFIRMED || code === ErrorCode.RETRY_LATER;
}
