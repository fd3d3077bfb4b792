import {
  DEFER_REASON,
  DEFERRED_COLUMNS,
  type KafkaProducer,
  openKafkaProducer,
  type ProduceRequest,
  type ProduceResult,
  VERDICT,
  VERDICT_COLUMNS,
} from '../../../src/native/kafka.ts';
import { until } from '../../support/wait.ts';
import { outboxPayload, segmentIds, type TestMessage } from './kafka-payload.ts';

export interface Verdict {
  topicId: number;
  sequence: number;
  code: number;
  partition: number;
  offset: number;
  generation: number;
}

let keys = 0;

/** A key that no other test of the process uses. */
export function freshKey(): string {
  return `test-${process.pid}-${++keys}`;
}

/**
 * A lane over librdkafka's own mock cluster (4 partitions a topic), which keeps what it is told.
 */
export class TestLane {
  readonly verdicts: Verdict[] = [];
  readonly ready: number[] = [];
  readonly events: string[] = [];
  readonly producer: KafkaProducer;
  sequence = 1;
  /** By topic, what was left out of a call, as a forwarder would remember it. */
  private readonly left = new Map<number, (() => void)[]>();

  constructor(options: { key?: string; lane?: number; config?: Record<string, string> } = {}) {
    this.producer = openKafkaProducer({
      key: options.key ?? freshKey(),
      lane: options.lane ?? 0,
      config: {
        'test.mock.num.brokers': '1',
        'allow.auto.create.topics': 'true',
        ...options.config,
      },
      onVerdicts: (rows, count) => this.keep(rows, count),
      onEvent: (kind, code, text) => this.events.push(`${kind} ${code} ${text}`),
    });
  }

  private keep(rows: Float64Array, count: number): void {
    for (let at = 0; at < count * VERDICT_COLUMNS; at += VERDICT_COLUMNS) {
      const column = (name: keyof typeof VERDICT) => rows[at + VERDICT[name]] as number;
      if (column('count') === 0) {
        this.ready.push(column('topicId'));
        for (const send of this.left.get(column('topicId'))?.splice(0) ?? []) send();
      }
      for (let i = 0; i < column('count'); i++) {
        this.verdicts.push({
          topicId: column('topicId'),
          sequence: column('firstSequence') + i,
          code: column('code'),
          partition: column('partition'),
          offset: column('baseOffset') < 0 ? -1 : column('baseOffset') + i,
          generation: column('generation'),
        });
      }
    }
  }

  /** Registers a topic and waits until its partitions are known. */
  async topic(id: number, name: string, options?: Parameters<KafkaProducer['setTopic']>[2]) {
    this.producer.setTopic(id, name, options);
    await until(() => this.producer.partitionCount(id) > 0, { what: `partitions of ${name}` });
  }

  /**
   * Produces messages as one segment of producer 7; sequences go on unless `request` says so. What
   * finds its partition full is produced again when that has room.
   */
  produce(messages: readonly TestMessage[], request: Partial<ProduceRequest> = {}): ProduceResult {
    const first = request.firstSequence ?? this.sequence;
    if (request.firstSequence === undefined) this.sequence += messages.length;
    const whole: ProduceRequest = {
      payload: outboxPayload(messages),
      firstSequence: first,
      ids: segmentIds({ producer: 7n, first }),
      segmentCounts: Int32Array.of(messages.length),
      segmentFlags: Uint8Array.of(1),
      originNode: Buffer.from('0102030405060708', 'hex'),
      acceptedMs: 1_700_000_000_000,
      ...request,
    };
    return this.send(whole);
  }

  private send(request: ProduceRequest): ProduceResult {
    const result = this.producer.produce(request);
    for (let at = 0; at < result.deferred.length; at += DEFERRED_COLUMNS) {
      const topic = result.deferred[at] as number;
      if (result.deferred[at + 3] !== DEFER_REASON.partitionFull) continue;
      const fromOrdinal = (result.deferred[at + 1] as number) - request.firstSequence;
      const again = { ...request, topicsBlocked: undefined, onlyTopic: topic, fromOrdinal };
      const waiting = this.left.get(topic) ?? [];
      this.left.set(topic, [...waiting, () => this.send(again)]);
    }
    return result;
  }

  async hasVerdicts(count: number): Promise<Verdict[]> {
    await until(() => this.verdicts.length >= count, { what: `${count} verdicts` });
    return this.verdicts;
  }

  /** Sends a first message to each partition of a topic, so that its leader counts this lane's. */
  async open(topic: number): Promise<void> {
    const partitions = this.producer.partitionCount(topic);
    const messages = Array.from({ length: partitions }, (_, partition) => {
      return { topic, partition, value: '' };
    });
    const before = this.verdicts.length;
    this.produce(messages, { firstSequence: 1_000_000 });
    await this.hasVerdicts(before + partitions);
    this.verdicts.length = before;
    this.ready.length = 0;
  }

  close(): Promise<void> {
    this.left.clear();
    return this.producer.close();
  }
}
