import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import {
  type KafkaProducer,
  type KafkaProducerOptions,
  type TopicAnswer,
  VERDICT,
  VERDICT_COLUMNS,
} from '../../native/kafka.ts';
import type { PublishRecord } from '../publisher-port.ts';
import { PublishCall, type PublishVerdict } from './publish-call.ts';
import { verdictOf } from './verdict-codes.ts';

/** What a {@link PublishRoad} is made of. */
export interface PublishRoadOptions {
  /** Of the native producer: no other may have it. */
  readonly key: string;
  /** librdkafka's settings of a producer. */
  readonly config: Record<string, string>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Until a record was handed over, and from then on until its verdict at the latest, in ms. */
  readonly timeoutMs: number;
  readonly open: (options: KafkaProducerOptions) => KafkaProducer;
}

const topicsMax = 60_000;
const lookMs = 100;
/**
 * What was handed over is waited for longer, in ms: the library looks about once a second for what
 * is late, and says more of it than that.
 */
const verdictLateMs = 1_500;
/** A topic of which the cluster knows nothing is waited for so long, in ms. */
const unknownTopicMs = 5_000;
const never: TopicAnswer = { msAgo: Number.POSITIVE_INFINITY, code: 0 };

/** One native producer: calls go in, each record gets its verdict. */
export class PublishRoad {
  readonly #options: PublishRoadOptions;
  readonly #producer: KafkaProducer;
  readonly #ids = new Map<string, number>();
  readonly #names: string[] = [''];
  /** By firstSequence; a call leaves when all before it are done. */
  #calls: PublishCall[] = [];
  /** Those of which records were not handed over, oldest first. */
  readonly #waiting = new Set<PublishCall>();
  #blocked = new Uint8Array(64);
  #nextSequence = 1;
  #spread = 0;
  /** The generation of an instance that sends nothing more and could not be renewed yet. */
  #broken: number | undefined;
  #timer: Timer | undefined;

  constructor(options: PublishRoadOptions) {
    this.#options = options;
    this.#producer = options.open({
      key: options.key,
      // What was handed over has its verdict in time, from the library itself.
      config: { ...options.config, 'message.timeout.ms': String(options.timeoutMs) },
      lane: 0,
      onVerdicts: (rows, count) => this.#verdicts(rows, count),
      onEvent: (kind) => {
        if (kind === 'fatal') this.#renew(this.#producer.generation);
      },
    });
  }

  /**
   * @param timeoutMs until each record was handed over, and 1.5 s less than until it has its
   * verdict; default and most: the road's own
   */
  send(
    records: readonly PublishRecord[],
    timeoutMs: number = this.#options.timeoutMs,
  ): Promise<readonly PublishVerdict[]> {
    const topics = Uint16Array.from(records, (record) => this.#topicId(record.topic));
    const call = new PublishCall({
      records,
      topics,
      firstSequence: this.#nextSequence,
      spread: this.#spread,
      nowMs: this.#options.clock.monotonic(),
      timeoutMs,
    });
    this.#nextSequence += records.length;
    this.#spread += 1;
    this.#calls.push(call);
    this.#give(call, this.#blockedNow());
    if (call.isWaiting) this.#waiting.add(call);
    this.#arm();
    return call.done;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#producer.flush(this.#options.timeoutMs);
    await this.#producer.close();
    const verdict = refusal('BACKEND_UNAVAILABLE', 'the publisher is closed');
    for (const call of this.#calls) call.giveUp(verdict);
    this.#calls = [];
    this.#waiting.clear();
  }

  #topicId(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#names.length;
    // The id of no topic: its records are deferred, and given up.
    if (id > topicsMax) return topicsMax + 1;
    this.#names.push(name);
    this.#ids.set(name, id);
    this.#producer.setTopic(id, name, { idHeader: false });
    return id;
  }

  /** The topics of which an earlier record waits. */
  #blockedNow(): Uint8Array {
    if (this.#blocked.length < this.#names.length + 1) {
      this.#blocked = new Uint8Array(topicsMax + 2);
    }
    this.#blocked.fill(0);
    for (const call of this.#waiting) {
      for (const topic of call.waiting()) this.#blocked[topic] = 1;
    }
    return this.#blocked;
  }

  #give(call: PublishCall, blocked: Uint8Array): void {
    if (this.#broken !== undefined) return;
    if (!call.send(this.#producer, blocked)) this.#renew(this.#producer.generation);
  }

  /** Hands over what waits, oldest first, when there may be room or a topic became known. */
  #pump(): void {
    const blocked = this.#blocked.fill(0);
    for (const call of this.#waiting) {
      if (call.isWaiting) this.#give(call, blocked);
      if (!call.isWaiting) this.#waiting.delete(call);
    }
  }

  #verdicts(rows: Float64Array, count: number): void {
    let isReady = false;
    for (let row = 0; row < count; row++) {
      const at = row * VERDICT_COLUMNS;
      const messages = rows[at + VERDICT.count] as number;
      if (messages === 0) isReady = true;
      else this.#run(rows, at, messages);
    }
    this.#sweep();
    if (isReady) this.#pump();
  }

  #run(rows: Float64Array, at: number, messages: number): void {
    const first = rows[at + VERDICT.firstSequence] as number;
    const code = rows[at + VERDICT.code] as number;
    const partition = rows[at + VERDICT.partition] as number;
    const base = rows[at + VERDICT.baseOffset] as number;
    const refused = code === 0 ? undefined : refusalOf(code);
    let call: PublishCall | undefined;
    for (let i = 0; i < messages; i++) {
      const sequence = first + i;
      if (call === undefined || sequence >= call.firstSequence + call.count) {
        call = this.#callOf(sequence);
      }
      const offset = base < 0 ? -1 : base + i;
      call?.settle(sequence - call.firstSequence, refused ?? { partition, offset });
    }
  }

  #callOf(sequence: number): PublishCall | undefined {
    let low = 0;
    let high = this.#calls.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const call = this.#calls[middle] as PublishCall;
      if (call.firstSequence + call.count <= sequence) low = middle + 1;
      else high = middle;
    }
    const call = this.#calls[low];
    return call !== undefined && call.firstSequence <= sequence ? call : undefined;
  }

  #sweep(): void {
    let done = 0;
    while (this.#calls[done]?.isDone) done += 1;
    if (done > 0) this.#calls = this.#calls.slice(done);
  }

  /** A new instance cannot always be made (a key file is being replaced): then at every look. */
  #renew(generation: number): void {
    try {
      this.#producer.renew(generation);
      this.#broken = undefined;
    } catch (error) {
      if (this.#broken === undefined) {
        const { key, log } = this.#options;
        const what = { key, reason: messageOf(error) };
        log.error(what, 'the Kafka producer could not be renewed: it is tried again');
      }
      this.#broken = generation;
    }
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#calls.length === 0) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.#timer = undefined;
      this.#look();
      this.#sweep();
      this.#arm();
    }, lookMs);
  }

  /** Gives up what has waited too long, and tries the rest again. */
  #look(): void {
    if (this.#broken !== undefined) this.#renew(this.#broken);
    const nowMs = this.#options.clock.monotonic();
    for (const call of this.#calls) {
      if (call.isDone) continue;
      if (nowMs >= call.deadlineMs + verdictLateMs) {
        call.giveUp(this.#late('Kafka gave no verdict in time'));
      } else if (nowMs >= call.deadlineMs) this.#giveUpWaiting(call);
      else if (nowMs - call.startedMs >= unknownTopicMs) this.#giveUpUnknown(call, nowMs);
    }
    this.#pump();
  }

  /** That there is no such topic is the cluster's word, given since the call, or nobody's. */
  #giveUpUnknown(call: PublishCall, nowMs: number): void {
    for (const topic of call.waiting()) {
      const name = this.#names[topic];
      if (name !== undefined) {
        if (this.#producer.partitionCount(topic) > 0) continue;
        const { msAgo, code } = this.#producer.lastAnswer(topic) ?? never;
        if (msAgo >= nowMs - call.startedMs || !isAbsence(code)) continue;
      }
      const words = `the cluster shows no topic ${name ?? ''}`;
      call.giveUpTopic(topic, refusal('UNKNOWN_TOPIC', words));
    }
  }

  #giveUpWaiting(call: PublishCall): void {
    for (const topic of call.waiting()) {
      const { code } = this.#producer.lastAnswer(topic) ?? never;
      const late = this.#late('Kafka took no more records in time', code);
      call.giveUpTopic(topic, late);
    }
  }

  /** With why nothing reaches the brokers, or else what they said of the topic, where known. */
  #late(words: string, code = 0): PublishVerdict {
    const said = code === 0 ? '' : `${verdictOf(code).name ?? code}`;
    const why = this.#producer.trouble || said;
    return refusal('BACKEND_UNAVAILABLE', why === '' ? words : `${words}: ${why}`);
  }
}

/** What the cluster said of a topic without partitions means that there is none. */
function isAbsence(code: number): boolean {
  return code === 0 || verdictOf(code).kind === 'topicMissing';
}

function refusal(code: string, message: string): PublishVerdict {
  return { code, message, retriable: true };
}

function refusalOf(code: number): PublishVerdict {
  const verdict = verdictOf(code);
  const message = `Kafka refused the record: ${verdict.name ?? code}`;
  switch (verdict.kind) {
    case 'refused': {
      const refused = { code: verdict.code ?? 'UNDELIVERABLE', message, retriable: false };
      const isSuspect = verdict.ofBatch === true || verdict.twice === true;
      return isSuspect ? { ...refused, suspect: true } : refused;
    }
    case 'topicMissing':
      return { code: 'UNKNOWN_TOPIC', message, retriable: true };
    default:
      return { code: 'BACKEND_UNAVAILABLE', message, retriable: true };
  }
}
