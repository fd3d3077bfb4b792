import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { encodeError, encodeFailure } from '../../../protocol/src/error-body.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { FrameDecoder } from '../../../protocol/src/frame-decoder.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import {
  ErrorCode,
  Opcode,
  PROTOCOL_LIMIT,
  ProducedForm,
} from '../../../protocol/src/generated.ts';
import { encodeGoaway } from '../../../protocol/src/goaway.ts';
import { decodeHello, encodeHelloAnswer, type Hello } from '../../../protocol/src/hello.ts';
import { decodeOpenTopic, encodeOpenTopicAnswer } from '../../../protocol/src/open-topic.ts';
import { encodePong } from '../../../protocol/src/ping.ts';
import {
  type DecodedMessage,
  decodeProduce,
  decodeProduceBatch,
  type ProduceHead,
} from '../../../protocol/src/produce.ts';
import {
  beginProduced,
  writePlaced,
  writePlain,
  writeRefused,
  writeScheduled,
} from '../../../protocol/src/produced.ts';
import { decodeTail, type TailRequest } from '../../../protocol/src/tail.ts';

/** A message as it came. */
export interface Received {
  readonly session: FakeSession;
  readonly topic: string;
  readonly sequence: number;
  readonly correlationId: number;
  readonly isReplicated: boolean;
  readonly isBatch: boolean;
  readonly message: DecodedMessage;
  readonly value: string | undefined;
}

/** What a script decides for a message: answered well, left unanswered, or refused. */
export type Verdict =
  | 'ok'
  | 'hold'
  | { readonly code: number; readonly detail: number }
  /** A delayed message is taken. */
  | { readonly acceptedMs: number }
  | { readonly partition: number; readonly offset: number; readonly cluster: number };

export interface FakeScript {
  nodeId?: string;
  features?: string[];
  /** Every answer leaves a byte at a time. */
  isDripping?: boolean;
  lastSequence?: number;
  limits?: Partial<Record<string, number>>;
  hello?(hello: Hello): { code: number; message: string } | undefined;
  open?(topic: string): { code: number; retryAfterMs?: number } | undefined;
  produce?(received: Received): Verdict;
  tail?(request: TailRequest, session: FakeSession, correlationId: number): void;
  /** Any other frame; false: it is not known. */
  other?(frame: Frame, session: FakeSession): boolean;
}

const HELLO_LIMITS = {
  frameBytesMax: PROTOCOL_LIMIT.frameBytesMax,
  messageBytesMax: PROTOCOL_LIMIT.messageBytesMax,
  keyBytesMax: PROTOCOL_LIMIT.keyBytesMax,
  headersBytesMax: PROTOCOL_LIMIT.headersBytesMax,
  topicsPerConnectionMax: PROTOCOL_LIMIT.topicsPerConnectionMax,
  inFlightMessagesMax: PROTOCOL_LIMIT.inFlightMessagesMax,
  inFlightBytesMax: PROTOCOL_LIMIT.inFlightBytesMax,
  tailBytesMax: PROTOCOL_LIMIT.tailBytesMax,
  idleTimeoutMs: 0,
};

/** One connection to the fake node. */
export class FakeSession {
  readonly socket: Socket;
  readonly writer = new FrameWriter();
  readonly topics: string[] = [''];
  /** Opcode and length of every frame that came. */
  readonly frames: { readonly opcode: number; readonly length: number }[] = [];
  hello: Hello | undefined;
  private readonly dripping: number[] = [];
  private readonly node: FakeNode;
  private readonly decoder = new FrameDecoder({ frameBytesMax: PROTOCOL_LIMIT.frameBytesMax });

  constructor(node: FakeNode, socket: Socket) {
    this.node = node;
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.decoder.push(chunk);
      for (let frame = this.decoder.next(); frame !== undefined; frame = this.decoder.next()) {
        this.frame(frame);
      }
      this.flush();
    });
  }

  plain(first: number, count = 1): void {
    beginProduced(this.writer, ProducedForm.PLAIN);
    writePlain(this.writer, first, count);
    this.writer.end();
  }

  refuse(first: number, code: number, detail = 0, count = 1): void {
    beginProduced(this.writer, ProducedForm.REFUSED);
    writeRefused(this.writer, first, count, { code, detail });
    this.writer.end();
  }

  goaway(drainMs: number): void {
    encodeGoaway(this.writer, { reason: ErrorCode.DRAINING, drainMs });
    this.flush();
  }

  /** Sends an ERROR frame and closes, as a node does for a fatal code. */
  fail(code: number, message: string): void {
    encodeError(this.writer, { code, message });
    this.socket.end(this.writer.detach());
  }

  cut(): void {
    this.socket.destroy();
  }

  flush(): void {
    if (this.writer.length === 0 || !this.socket.writable) return;
    const bytes = Buffer.from(this.writer.detach());
    if (this.node.script.isDripping === true) this.drip(bytes);
    else this.socket.write(bytes);
  }

  private drip(bytes: Buffer): void {
    const isBusy = this.dripping.length > 0;
    for (const byte of bytes) this.dripping.push(byte);
    if (!isBusy) this.dripNext();
  }

  private dripNext(): void {
    this.socket.setNoDelay(true);
    this.socket.write(Buffer.from([this.dripping[0] as number]), () => {
      this.dripping.shift();
      if (this.dripping.length > 0) setImmediate(() => this.dripNext());
    });
  }

  private frame(frame: Frame): void {
    this.frames.push({ opcode: frame.opcode, length: 8 + frame.body.length });
    switch (frame.opcode) {
      case Opcode.HELLO:
        this.greet(frame);
        break;
      case Opcode.PING:
        this.node.pings++;
        this.node.notify();
        encodePong(this.writer, frame);
        break;
      case Opcode.OPEN_TOPIC:
        this.open(frame);
        break;
      case Opcode.PRODUCE: {
        const { topic, correlationId, sequence, replicated, ...message } = decodeProduce(frame);
        this.take({ topic, correlationId, sequence, replicated }, message, false);
        break;
      }
      case Opcode.PRODUCE_BATCH: {
        const { messages, ...head } = decodeProduceBatch(frame);
        for (const [i, message] of messages.entries()) {
          const { correlationId, sequence } = head;
          const each = { ...head, correlationId: correlationId + i, sequence: sequence + i };
          this.take(each, message, true);
        }
        break;
      }
      case Opcode.TAIL:
        this.node.script.tail?.(decodeTail(frame), this, frame.correlationId);
        break;
      default:
        if (this.node.script.other?.(frame, this) === true) break;
        encodeFailure(this.writer, frame, { code: ErrorCode.UNKNOWN_OPCODE, message: 'no' });
    }
  }

  private greet(frame: Frame): void {
    const { script } = this.node;
    this.hello = decodeHello(frame);
    this.node.hellos.push(this.hello);
    this.node.notify();
    const refusal = script.hello?.(this.hello);
    if (refusal !== undefined) {
      encodeFailure(this.writer, frame, refusal);
      this.socket.end(this.writer.detach());
      return;
    }
    encodeHelloAnswer(this.writer, frame.correlationId, {
      version: 1,
      producerId: this.hello.producerId === 0n ? 0xabcn : this.hello.producerId,
      epoch: this.hello.epoch,
      lastSequence: script.lastSequence ?? 0,
      nodeId: script.nodeId ?? 'fake',
      nodeVersion: '0.0.0',
      backend: 'embedded',
      features: script.features ?? [],
      limits: { ...HELLO_LIMITS, ...script.limits },
      serverTimeMs: 1,
    });
  }

  private open(frame: Frame): void {
    const { name } = decodeOpenTopic(frame);
    this.node.opens.push(name);
    const refusal = this.node.script.open?.(name);
    this.node.notify();
    if (refusal !== undefined) {
      encodeFailure(this.writer, frame, { message: 'scripted', ...refusal });
      return;
    }
    let topicId = this.topics.indexOf(name);
    if (topicId < 0) topicId = this.topics.push(name) - 1;
    encodeOpenTopicAnswer(this.writer, frame.correlationId, {
      topicId,
      name,
      partitions: 2,
      messageBytesMax: PROTOCOL_LIMIT.messageBytesMax,
      replicationFactor: 1,
      minInsyncReplicas: 1,
      ack: ['stored', 'replicated'],
      warnings: [],
    });
  }

  private take(head: ProduceHead, message: DecodedMessage, isBatch: boolean): void {
    const received: Received = {
      session: this,
      topic: this.topics[head.topic] ?? '',
      sequence: head.sequence,
      correlationId: head.correlationId,
      isReplicated: head.replicated,
      isBatch,
      message,
      value: message.value?.toString(),
    };
    this.node.received.push(received);
    const verdict = this.node.script.produce?.(received) ?? 'ok';
    if (verdict === 'ok') this.plain(head.correlationId);
    else if (verdict !== 'hold' && 'code' in verdict) {
      this.refuse(head.correlationId, verdict.code, verdict.detail);
    } else if (verdict !== 'hold' && 'acceptedMs' in verdict) {
      beginProduced(this.writer, ProducedForm.SCHEDULED);
      writeScheduled(this.writer, head.correlationId, 1, verdict.acceptedMs);
      this.writer.end();
    } else if (verdict !== 'hold') {
      beginProduced(this.writer, ProducedForm.PLACED);
      writePlaced(this.writer, head.correlationId, 1, verdict);
      this.writer.end();
    }
    this.node.notify();
  }
}

/**
 * A scripted peer that speaks the protocol by the codec. It stores nothing and promises nothing.
 */
export class FakeNode {
  readonly script: FakeScript;
  readonly received: Received[] = [];
  readonly hellos: Hello[] = [];
  readonly opens: string[] = [];
  readonly sessions: FakeSession[] = [];
  pings = 0;
  private readonly server: Server;
  private waiting: { check: () => boolean; resolve: () => void }[] = [];

  static async start(script: FakeScript = {}, port = 0): Promise<FakeNode> {
    const node = new FakeNode(script);
    node.server.listen(port, '127.0.0.1');
    await once(node.server, 'listening');
    return node;
  }

  private constructor(script: FakeScript) {
    this.script = script;
    this.server = createServer((socket) => this.sessions.push(new FakeSession(this, socket)));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get last(): FakeSession {
    return this.sessions.at(-1) as FakeSession;
  }

  get values(): (string | undefined)[] {
    return this.received.map(({ value }) => value);
  }

  /** Resolves when `check` holds; it is asked after everything that comes in. */
  until(check: () => boolean): Promise<void> {
    if (check()) return Promise.resolve();
    return new Promise((resolve) => {
      this.waiting.push({ check, resolve });
    });
  }

  notify(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const each of waiting) {
      if (each.check()) each.resolve();
      else this.waiting.push(each);
    }
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.cut();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }
}
