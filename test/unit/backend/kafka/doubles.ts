import type { Clock } from '../../../../src/base/clock.ts';
import {
  DEFER_REASON,
  KAFKA_CODE,
  type KafkaProducer,
  type KafkaProducerOptions,
  type ProduceRequest,
  type ProduceResult,
  type TopicAnswer,
} from '../../../../src/native/kafka.ts';

/** A native producer of one topic that breaks, and of which a new instance can be made or not. */
export class FakeProducer
  implements
    Pick<
      KafkaProducer,
      | 'setTopic'
      | 'produce'
      | 'partitionCount'
      | 'lastAnswer'
      | 'trouble'
      | 'renew'
      | 'generation'
      | 'flush'
      | 'close'
    >
{
  generation = 1;
  isBroken = false;
  /** No new instance can be made. */
  isBarren = false;
  renewals = 0;
  /**
   * When the cluster has said that there is no such topic, or another error; undefined: it knows
   * it.
   */
  unknown: { answeredMs: number; code?: number } | undefined;
  trouble = '';
  /** No report comes. */
  isSilent = false;
  /** By produce call, whether an earlier record of the topic waited. */
  readonly blockedCalls: boolean[] = [];
  private readonly options: KafkaProducerOptions;
  private readonly clock: Clock;

  constructor(options: KafkaProducerOptions, clock: Clock) {
    this.options = options;
    this.clock = clock;
  }

  setTopic(): void {}

  partitionCount(): number {
    return this.unknown === undefined ? 1 : 0;
  }

  lastAnswer(): TopicAnswer {
    const absent = KAFKA_CODE.UNKNOWN_TOPIC_OR_PARTITION;
    const { answeredMs = 0, code = absent } = this.unknown ?? { code: 0 };
    return { msAgo: this.clock.monotonic() - answeredMs, code };
  }

  produce({ firstSequence, segmentCounts, topicsBlocked }: ProduceRequest): ProduceResult {
    const [count = 0] = segmentCounts;
    const isBlocked = topicsBlocked?.[1] === 1;
    this.blockedCalls.push(isBlocked);
    if (this.isBroken) return { sent: 0, nextOrdinal: 0, fatal: true, deferred: [] };
    if (this.unknown !== undefined || isBlocked) {
      const reason = isBlocked ? DEFER_REASON.blocked : DEFER_REASON.topicUnknown;
      const deferred = [1, firstSequence, count, reason];
      return { sent: 0, nextOrdinal: count, fatal: false, deferred };
    }
    if (this.isSilent) return { sent: count, nextOrdinal: count, fatal: false, deferred: [] };
    queueMicrotask(() => this.report(firstSequence, count));
    return { sent: count, nextOrdinal: count, fatal: false, deferred: [] };
  }

  /** What became of messages; with code 0 they are in the log, from offset 7 on. */
  report(firstSequence: number, count: number, code = 0): void {
    const row = [1, firstSequence, count, code, 0, 7, this.generation];
    this.options.onVerdicts(Float64Array.from(row), 1);
  }

  /** As the native one: it does nothing when the generation is not `ofGeneration` any more. */
  renew(ofGeneration: number): number {
    this.renewals++;
    if (this.generation !== ofGeneration) return this.generation;
    if (this.isBarren) throw new RangeError('ssl.key.location failed: no such file');
    this.isBroken = false;
    return ++this.generation;
  }

  break(): void {
    this.isBroken = true;
    this.options.onEvent?.('fatal', -150, 'fenced');
  }

  async flush(): Promise<boolean> {
    return true;
  }

  async close(): Promise<void> {}
}
