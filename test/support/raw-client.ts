import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { failureOf } from '../../protocol/src/error-body.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import { FrameDecoder } from '../../protocol/src/frame-decoder.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { Answer, ErrorCode, Opcode, ProducedForm } from '../../protocol/src/generated.ts';
import { decodeGoaway, type Goaway } from '../../protocol/src/goaway.ts';
import { decodeHelloAnswer, encodeHello, type HelloAnswer } from '../../protocol/src/hello.ts';
import {
  decodeOpenTopicAnswer,
  encodeOpenTopic,
  type OpenedTopic,
} from '../../protocol/src/open-topic.ts';
import { encodePing } from '../../protocol/src/ping.ts';
import { encodeProduce, encodeProduceBatch } from '../../protocol/src/produce.ts';
import { ProducedEntries } from '../../protocol/src/produced.ts';
import { errorName, ProtocolError } from '../../protocol/src/protocol-error.ts';
import { encodeTail } from '../../protocol/src/tail.ts';
import { TailRecords } from '../../protocol/src/tail-records.ts';
import { cleanUp } from './clean-up.ts';
import type { Address } from './start-server.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** What HELLO says; everything has a default. */
export interface RawHello {
  readonly producerId?: bigint;
  readonly epoch?: number;
  readonly unordered?: boolean;
  readonly token?: string;
}

/** How one message was answered. */
export interface Outcome {
  readonly code: number;
  /** The code's name: `OK`, `FENCED` … */
  readonly name: string;
  readonly detail: number;
  readonly form: number;
  /** -1 where the answer does not say. */
  readonly partition: number;
  readonly offset: number;
}

/** A run of messages to send; message i has sequence `first + i` and that correlation id too. */
export interface RawRun {
  readonly topic: number;
  readonly first: number;
  readonly values: readonly (string | Buffer)[];
  readonly key?: string;
  readonly partition?: number;
  readonly replicated?: boolean;
  /** Sends one PRODUCE_BATCH in place of a PRODUCE each. */
  readonly batch?: boolean;
}

/** Requests take correlation ids from here, messages their sequence. */
const REQUESTS_FROM = 0x8000_0000;

/**
 * A client without manners: it sends what a test tells it to, keeps no rule by itself, and notes
 * what comes back. Its socket is destroyed after the test.
 */
export class RawClient {
  readonly socket: Socket;
  /** How each message was answered, by sequence (mod 2^32). */
  readonly outcomes = new Map<number, Outcome>();
  /** Messages that were answered more than once on this connection. */
  readonly answeredTwice: number[] = [];
  hello: HelloAnswer | undefined;
  /** The ERROR frame, or the failed answer to HELLO, before the node closed. */
  fatal: ProtocolError | undefined;
  goaway: Goaway | undefined;
  /** Every byte that came is kept here when the peer is not expected to speak MQP. */
  text = '';
  /** Settles when the connection has ended, either way. */
  readonly closed: Promise<void>;
  /** Called for each failed answer, and for each answered message, for tests that look at one. */
  onFailed: (code: number) => void = () => {};
  onProduced: (code: number) => void = () => {};
  /** A DELIVER or ASSIGNED; *borrowed*. */
  onPushed: (frame: Frame) => void = () => {};
  private ignores = false;
  private readonly decoder = new FrameDecoder({ frameBytesMax: 64 << 20 });
  private readonly waiting = new Map<number, (frame: Frame) => void>();
  private readonly listeners = new Set<() => void>();
  private nextRequest = REQUESTS_FROM;
  private ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.ended = true;
        resolve();
        this.tell();
      });
    });
    cleanUp(() => {
      socket.destroy();
    });
  }

  /** Connects, and says nothing yet. */
  static async bare(address: Address, tls?: ConnectionOptions): Promise<RawClient> {
    const { host, port } = address;
    const socket =
      tls === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...tls });
    const client = new RawClient(socket);
    const event = tls === undefined ? 'connect' : 'secureConnect';
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once(event, () => resolve());
        socket.once('error', reject);
      }),
      GIVE_UP_MS,
      'a connection',
    );
    return client;
  }

  /** Connects and says HELLO. @throws ProtocolError when that was refused */
  static async connect(
    address: Address,
    hello: RawHello = {},
    tls?: ConnectionOptions,
  ): Promise<RawClient> {
    const client = await RawClient.bare(address, tls);
    await client.sayHello(hello);
    return client;
  }

  get isClosed(): boolean {
    return this.ended;
  }

  async sayHello(hello: RawHello = {}): Promise<HelloAnswer> {
    const frame = await this.request((writer, id) => encodeHello(writer, id, helloOf(hello)));
    this.hello = decodeHelloAnswer(frame);
    return this.hello;
  }

  /** Opens a topic; answers its id among the rest. @throws ProtocolError */
  async open(name: string): Promise<OpenedTopic> {
    const asked = { name, isExisting: false };
    return decodeOpenTopicAnswer(await this.request((w, id) => encodeOpenTopic(w, id, asked)));
  }

  async ping(): Promise<void> {
    await this.request((writer, id) => encodePing(writer, id, Buffer.from('ping')));
  }

  /** The values of one partition from the beginning, as far as one answer holds them. */
  async tail(topic: number, partition: number, position = 0): Promise<TailRead> {
    const frame = await this.request((w, id) =>
      encodeTail(w, id, { topic, partition, from: 0, position, bytesMax: 1 << 20, waitMs: 0 }),
    );
    const records = new TailRecords();
    records.reset(frame);
    const read: TailRead = { records: [], next: records.head.nextOffset, end: 0 };
    read.end = records.head.endOffset;
    while (records.next()) {
      const { producerId = 0n, epoch = 0, sequence = 0 } = records.id ?? {};
      const value = Buffer.from(records.value ?? []);
      read.records.push({ offset: records.offset, producerId, epoch, sequence, value });
    }
    return read;
  }

  /** Sends a request and waits for its answer. @throws ProtocolError when it failed */
  async request(write: (writer: FrameWriter, correlationId: number) => void): Promise<Frame> {
    const id = this.nextRequest++;
    const writer = new FrameWriter();
    write(writer, id);
    const answer = new Promise<Frame>((resolve) => this.waiting.set(id, resolve));
    this.socket.write(writer.detach());
    const gone = this.closed.then((): never => {
      throw this.fatal ?? new ProtocolError(ErrorCode.UNKNOWN, 'the node closed the connection');
    });
    gone.catch(() => {});
    const frame = await within(Promise.race([answer, gone]), GIVE_UP_MS, 'the answer to a request');
    const failure = failureOf(frame);
    if (failure !== undefined) throw failure;
    return frame;
  }

  /** Sends messages without waiting for anything. */
  send(run: RawRun): void {
    this.socket.write(framesOf(run));
  }

  /** Sends messages and waits until each is answered. */
  async produce(run: RawRun, timeoutMs = GIVE_UP_MS): Promise<Outcome[]> {
    const ids = run.values.map((_, i) => run.first + i);
    for (const id of ids) this.outcomes.delete(id);
    this.send(run);
    return this.answersTo(ids, timeoutMs);
  }

  /** Waits until each of these messages is answered. */
  async answersTo(ids: readonly number[], timeoutMs = GIVE_UP_MS): Promise<Outcome[]> {
    const done = () => ids.every((id) => this.outcomes.has(id));
    await this.when(done, `answers to ${ids.length} messages`, timeoutMs);
    return ids.map((id) => this.outcomes.get(id) as Outcome);
  }

  /** Waits for something that an incoming frame, or the end, brings about. */
  async when(done: () => boolean, what: string, timeoutMs = GIVE_UP_MS): Promise<void> {
    if (done()) return;
    let look = () => {};
    const come = new Promise<void>((resolve, reject) => {
      look = () => {
        if (done()) resolve();
        else if (this.ended) reject(this.fatal ?? new ProtocolError(1, `closed before ${what}`));
      };
      this.listeners.add(look);
      look();
    });
    await within(come, timeoutMs, what).finally(() => this.listeners.delete(look));
  }

  /** Waits for the node to close; answers the error that it gave, if any. */
  async untilClosed(timeoutMs = GIVE_UP_MS): Promise<ProtocolError | undefined> {
    await within(this.closed, timeoutMs, 'the node to close the connection');
    return this.fatal;
  }

  /** From now on what comes is thrown away. */
  ignoreAnswers(): void {
    this.ignores = true;
  }

  /** Cuts the connection: what is in the kernel's buffers may be lost, as in life. */
  cut(): void {
    this.socket.resetAndDestroy();
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }

  private read(chunk: Buffer): void {
    if (this.ignores) return;
    if (this.text !== '' || chunk.toString('latin1', 0, 4) === 'HTTP') {
      this.text += chunk.toString('latin1');
      return;
    }
    this.decoder.push(chunk);
    for (let frame = this.decoder.next(); frame !== undefined; frame = this.decoder.next()) {
      this.take(frame);
    }
    this.tell();
  }

  private take(frame: Frame): void {
    if (frame.opcode === Answer.PRODUCED) this.note(frame);
    else if (frame.opcode === Answer.ERROR) this.fatal = failureOf(frame);
    else if (frame.opcode === Opcode.DELIVER || frame.opcode === Opcode.ASSIGNED) {
      this.onPushed(frame);
    } else if (frame.opcode === Opcode.GOAWAY) this.goaway = decodeGoaway(frame);
    else {
      const failure = failureOf(frame);
      if (this.hello === undefined) this.fatal = failure;
      if (failure !== undefined) this.onFailed(failure.code);
      this.waiting.get(frame.correlationId)?.({ ...frame, body: Buffer.from(frame.body) });
      this.waiting.delete(frame.correlationId);
    }
  }

  private note(frame: Frame): void {
    const entries = new ProducedEntries();
    entries.reset(frame);
    while (entries.next()) {
      const { firstCorrelationId, count, code, detail, form, offset } = entries;
      const partition = form === ProducedForm.PLACED ? entries.partition : -1;
      for (let i = 0; i < count; i++) {
        const id = (firstCorrelationId + i) >>> 0;
        if (this.outcomes.has(id)) this.answeredTwice.push(id);
        const at = offset < 0 ? -1 : offset + i;
        const name = errorName(code);
        this.onProduced(code);
        this.outcomes.set(id, { code, name, detail, form, partition, offset: at });
      }
    }
  }
}

/** What TAIL gave. */
export interface TailRead {
  readonly records: {
    offset: number;
    producerId: bigint;
    epoch: number;
    sequence: number;
    value: Buffer;
  }[];
  next: number;
  end: number;
}

/** Everything of a topic of the embedded log, partition by partition. */
export async function readAll(address: Address, topic: string): Promise<TailRead['records']> {
  const client = await RawClient.connect(address);
  const { topicId, partitions } = await client.open(topic);
  const all: TailRead['records'] = [];
  for (let partition = 0; partition < partitions; partition++) {
    let position = 0;
    for (;;) {
      const { records, next, end } = await client.tail(topicId, partition, position);
      all.push(...records);
      position = next;
      if (position >= end) break;
    }
  }
  client.socket.destroy();
  return all;
}

/** The bytes of a run of messages. */
export function framesOf(run: RawRun): Buffer {
  const { topic, first, values, replicated = false } = run;
  const writer = new FrameWriter();
  const messages = values.map((value) => ({
    value: Buffer.from(value as string),
    ...(run.key === undefined ? {} : { key: Buffer.from(run.key) }),
    ...(run.partition === undefined ? {} : { partition: run.partition }),
  }));
  if (run.batch === true) {
    const head = { topic, correlationId: first >>> 0, sequence: first, replicated };
    encodeProduceBatch(writer, head, messages);
  } else {
    messages.forEach((message, i) => {
      const sequence = first + i;
      encodeProduce(
        writer,
        { topic, correlationId: sequence >>> 0, sequence, replicated },
        message,
      );
    });
  }
  return writer.detach();
}

/** The bytes of a HELLO. */
export function helloFrame(hello: RawHello = {}): Buffer {
  const writer = new FrameWriter();
  encodeHello(writer, REQUESTS_FROM - 1, helloOf(hello));
  return writer.detach();
}

function helloOf(hello: RawHello): Parameters<typeof encodeHello>[2] {
  return {
    unordered: hello.unordered ?? false,
    versionMin: 1,
    versionMax: 1,
    producerId: hello.producerId ?? 0n,
    epoch: hello.epoch ?? 0,
    clientTimeMs: 0,
    name: 'raw',
    authMechanism: hello.token === undefined ? 0 : 1,
    auth: Buffer.from(hello.token ?? ''),
  };
}
