import { Opcode, TailFrom } from '../../../protocol/src/generated.ts';
import { formatMessageId } from '../../../protocol/src/message-id.ts';
import { encodeTail } from '../../../protocol/src/tail.ts';
import { TailRecords } from '../../../protocol/src/tail-records.ts';
import type { Engine } from './engine.ts';
import { MqpError, toMqpError } from './errors.ts';
import type { TopicHandle } from './message.ts';
import type { TailOptions, TailRecord } from './types.ts';

const BYTES_MAX = 1024 * 1024;
const WAIT_MS = 5000;
/** How much later than `waitMs` an answer may come before the poll counts as lost. */
const GRACE_MS = 30_000;

/** One partition: where it stands, and at most one answer that waits to be read. */
interface Reader {
  readonly partition: number;
  from: number;
  position: number;
}

interface Fetched {
  readonly reader: Reader;
  readonly records: TailRecords;
}

type Step = IteratorResult<TailRecord, undefined>;

const DONE: Step = { done: true, value: undefined };

/**
 * A long poll per partition, merged. The next poll of a partition leaves when its answer is taken
 * up for reading, so that at most two answers per partition are held.
 */
export class TailStream implements AsyncIterableIterator<TailRecord> {
  private readonly engine: Engine;
  private readonly topic: TopicHandle;
  private readonly options: TailOptions;
  private readonly fetched: Fetched[] = [];
  private current: TailRecords | undefined;
  private isStarted = false;
  private isDone = false;
  private error: MqpError | undefined;
  private readonly waiting: { resolve(step: Step): void; reject(error: MqpError): void }[] = [];
  private readonly onAbort = () => this.finish();

  constructor(engine: Engine, topic: string, options: TailOptions) {
    this.engine = engine;
    this.topic = engine.topic(topic);
    this.options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    if (!this.isStarted) this.start();
    try {
      const record = this.take();
      if (record !== undefined) return Promise.resolve({ done: false, value: record });
    } catch (error) {
      this.finish(toMqpError(error));
    }
    if (this.error !== undefined) {
      const { error } = this;
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.isDone) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
    });
  }

  return(): Promise<Step> {
    this.finish();
    return Promise.resolve(DONE);
  }

  private start(): void {
    this.isStarted = true;
    const { signal } = this.options;
    if (signal?.aborted === true) this.finish();
    signal?.addEventListener('abort', this.onAbort, { once: true });
    void this.begin().catch((error: unknown) => this.finish(toMqpError(error)));
  }

  private async begin(): Promise<void> {
    const { partition, from } = this.options;
    const info = await this.engine.callAgain(
      (leftMs) => this.engine.open(this.topic, Math.min(leftMs, GRACE_MS), 'find'),
      Number.POSITIVE_INFINITY,
      () => !this.isDone,
    );
    if (this.isDone) return;
    if (typeof from === 'number' && partition === undefined && info.partitions > 1) {
      const many = `${this.topic.name} has ${info.partitions} partitions`;
      const message = `an offset counts within one partition, and ${many}: name one`;
      throw new MqpError('INVALID_ARGUMENT', message);
    }
    const partitions =
      partition === undefined ? Array.from({ length: info.partitions }, (_, i) => i) : [partition];
    for (const each of partitions) this.poll({ partition: each, ...positionOf(from) });
  }

  private poll(reader: Reader): void {
    void this.pollUntilSome(reader).catch((error: unknown) => this.finish(toMqpError(error)));
  }

  private async pollUntilSome(reader: Reader): Promise<void> {
    while (!this.isDone) {
      const records = await this.engine.callAgain(
        () => this.ask(reader),
        Number.POSITIVE_INFINITY,
        () => !this.isDone,
      );
      const { head } = records;
      // A poll that found nothing keeps `end` or a time as they are only until it is answered once.
      reader.from = TailFrom.OFFSET;
      reader.position = head.nextOffset;
      if (this.isDone || head.count === 0) continue;
      this.fetched.push({ reader, records });
      this.deliver();
      return;
    }
  }

  private ask(reader: Reader): Promise<TailRecords> {
    const { engine, topic } = this;
    const tailBytesMax = engine.node?.limits.tailBytesMax ?? BYTES_MAX;
    const request = {
      partition: reader.partition,
      from: reader.from,
      position: reader.position,
      bytesMax: Math.min(this.options.bytesMax ?? BYTES_MAX, tailBytesMax),
      waitMs: WAIT_MS,
    };
    return engine.callOnTopic(
      topic,
      {
        opcode: Opcode.TAIL,
        encode: (writer, id) => encodeTail(writer, id, { topic: topic.id, ...request }),
        decode: (frame) => {
          const records = new TailRecords();
          records.reset(frame);
          return records;
        },
      },
      WAIT_MS + GRACE_MS,
    );
  }

  /** The next record that is here, if one is. */
  private take(): TailRecord | undefined {
    for (;;) {
      if (this.isDone && this.error === undefined) return undefined;
      if (this.current === undefined) {
        const next = this.fetched.shift();
        if (next === undefined) return undefined;
        this.current = next.records;
        this.poll(next.reader);
      }
      if (this.current.next()) return this.record(this.current);
      this.current = undefined;
    }
  }

  private record(records: TailRecords): TailRecord {
    const { id } = records;
    return {
      topic: this.topic.name,
      partition: records.head.partition,
      offset: records.offset,
      timestampMs: records.timestampMs,
      id: id === undefined ? undefined : formatMessageId(id),
      key: records.key ?? null,
      headers: records.headers.map(({ name, value }) => [name, value] as const),
      value: records.value,
    };
  }

  private deliver(): void {
    while (this.waiting.length > 0) {
      const record = this.take();
      if (record === undefined) return;
      this.waiting.shift()?.resolve({ done: false, value: record });
    }
  }

  private finish(error?: MqpError): void {
    if (this.isDone) return;
    this.isDone = true;
    this.options.signal?.removeEventListener('abort', this.onAbort);
    const waiting = this.waiting.splice(0);
    const [first, ...others] = waiting;
    if (error !== undefined && first !== undefined) first.reject(error);
    else if (first !== undefined) first.resolve(DONE);
    if (error !== undefined && first === undefined) this.error = error;
    for (const other of others) other.resolve(DONE);
  }
}

function positionOf(from: TailOptions['from']): { from: number; position: number } {
  if (from === 'beginning') return { from: TailFrom.BEGINNING, position: 0 };
  if (from === undefined || from === 'end') return { from: TailFrom.END, position: 0 };
  if (from instanceof Date) return { from: TailFrom.TIME, position: from.getTime() };
  return { from: TailFrom.OFFSET, position: from };
}
