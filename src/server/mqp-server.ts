import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
} from 'node:tls';
import { encodeError, encodeFailure } from '../../protocol/src/error-body.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ANSWER, ErrorCode, Opcode } from '../../protocol/src/generated.ts';
import { encodeGoaway } from '../../protocol/src/goaway.ts';
import { errorRow, ProtocolError } from '../../protocol/src/protocol-error.ts';
import { sleep } from '../base/clock.ts';
import { CodedError, coded, messageOf } from '../base/errors.ts';
import { limits as bounds } from '../base/limits.ts';
import type { LaneLink } from '../lanes/lane-link.ts';
import { gather } from './gather.ts';
import type { Handler, NodeContext, WriteAnswer } from './handler.ts';
import { HANDLERS, SETTLERS } from './handler-table.ts';
import type { SettleHandler } from './handlers/consume.ts';
import { hello } from './handlers/hello.ts';
import { refuseProduced } from './refuse-produced.ts';
import { Session, type SessionHooks } from './session.ts';
import type { SessionLimits } from './session-limits.ts';
import { shareReads } from './shared-read.ts';
import type { TokenRates } from './token-rates.ts';
import { WaitingSessions } from './waiting-sessions.ts';

/** Of an HTTP request no more than four bytes may have come. */
const HTTP_METHOD = /^(GET |POST|PUT |HEAD|DELE|OPTI|PATC|CONN|TRAC)/;

/** How a server is made. */
export interface MqpServerOptions {
  readonly limits: SessionLimits;
  readonly connectionsMax: number;
  readonly globalInFlightBytesMax: number;
  readonly tls: SecureContextOptions | undefined;
  readonly rates: TokenRates;
}

/** Numbers of the server, for metrics and status. */
export interface MqpServerStats {
  readonly connections: number;
  readonly inFlightMessages: number;
  readonly inFlightBytes: number;
  readonly accepted: number;
  readonly violations: number;
}

/** The MQP listener: accepts connections, and answers what is not a produce. */
export class MqpServer {
  private readonly context: NodeContext;
  private readonly options: MqpServerOptions;
  private readonly server: Server;
  private readonly sessions = new Map<number, Session>();
  private readonly writer = new FrameWriter();
  private readonly hooks: SessionHooks;
  private readonly waiting = new WaitingSessions<LaneLink>();
  /** Made once: it is asked with every answer. */
  private readonly lacksRoom = (): boolean => this.isFull;
  private nextId = 1;
  private inFlightBytes = 0;
  private draining = false;
  private accepted = 0;
  private violations = 0;

  constructor(context: NodeContext, options: MqpServerOptions) {
    this.context = context;
    this.options = options;
    const accept = (socket: Socket): void => this.accept(socket);
    this.server =
      options.tls === undefined
        ? createServer({ noDelay: true, pauseOnConnect: true }, accept)
        : createTlsServer(
            { ...options.tls, handshakeTimeout: options.limits.handshakeTimeoutMs },
            accept,
          );
    if (options.tls !== undefined) this.boundHandshakes(options.connectionsMax);
    // Node leaves a socket whose handshake failed or took too long open.
    this.server.on('tlsClientError', (_error, socket: Socket) => socket.destroy());
    this.hooks = {
      clock: context.clock,
      onFrame: (session, frame) => this.onFrame(session, frame),
      onViolation: (session, code, message) => this.violate(session, code, message),
      onForeign: (session, head) => this.foreign(session, head),
      mayTake: () => !this.isFull,
      onNoRoom: (session, where) => this.waiting.add(session, where),
      refuse: (frames) => refuseProduced(this.writer, frames, ErrorCode.DRAINING),
      onTaken: (session, messages, bytes) => {
        this.inFlightBytes += bytes;
        return options.rates.take(session.access?.name ?? '', messages, bytes);
      },
      onReturned: (bytes) => {
        this.inFlightBytes -= bytes;
      },
      onClosed: (session) => this.closed(session),
      onDrain: (session) => context.consume.drained(session.id),
    };
  }

  /** Begins to listen. @throws ADDRESS_IN_USE, ADDRESS_REFUSED */
  async listen(address: { host: string; port: number }): Promise<{ host: string; port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) => {
        const where = `${address.host}:${address.port}`;
        const code = error.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'ADDRESS_REFUSED';
        reject(coded(code, `cannot listen on ${where}: ${error.message}`, { cause: error }));
      });
      this.server.listen({ ...address, backlog: 4096 }, resolve);
    });
    const bound = this.server.address();
    return {
      host: address.host,
      port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    };
  }

  /** Replaces certificate and key for new connections. */
  setTls(tls: SecureContextOptions): void {
    if ('setSecureContext' in this.server) (this.server as TlsServer).setSecureContext(tls);
  }

  stats(): MqpServerStats {
    let inFlightMessages = 0;
    for (const session of this.sessions.values()) inFlightMessages += session.inFlight;
    const { inFlightBytes, accepted, violations } = this;
    const connections = this.sessions.size;
    return { connections, inFlightMessages, inFlightBytes, accepted, violations };
  }

  /** Frames that answer produced messages of a session; *borrowed*. */
  answer(session: number, messages: number, bytes: Buffer, start: number, end: number): void {
    const target = this.sessions.get(session);
    if (target === undefined) return;
    const copy = Buffer.allocUnsafe(end - start);
    bytes.copy(copy, 0, start, end);
    target.answered(messages, copy);
    this.waiting.wakeNode(this.lacksRoom);
  }

  /** This lane takes messages again. */
  roomAgain(lane: LaneLink): void {
    this.waiting.wakeLane(lane);
  }

  /** The lane found that this connection broke the protocol. */
  closeFor(session: number, code: number): void {
    const target = this.sessions.get(session);
    if (target !== undefined) this.violate(target, code, errorRow(code)?.meaning ?? 'refused');
  }

  /** A lane is out of service: its connections are told, after the answers they have got. */
  closeLane(lane: LaneLink, code: number): void {
    const message = errorRow(code)?.meaning ?? 'out of service';
    for (const session of [...this.sessions.values()]) {
      if (session.lane === lane) session.end(this.errorBytes(code, message));
    }
  }

  /**
   * Stops accepting, tells every client, and waits until nothing is unanswered, or for
   * `timeoutMs`. Answers whether everything was answered.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.draining = true;
    this.server.close();
    const { clock } = this.context;
    const bytes = this.frame((w) => {
      encodeGoaway(w, { reason: ErrorCode.DRAINING, drainMs: timeoutMs });
    });
    for (const session of this.sessions.values()) {
      if (session.ready) session.leave(Buffer.from(bytes));
    }
    const until = clock.monotonic() + timeoutMs;
    // Two looks in a row without work: what was on the wire when GOAWAY left has come.
    for (let quiet = 0; quiet < 2 && clock.monotonic() < until; ) {
      await sleep(clock, 20);
      quiet = this.isBusy ? 0 : quiet + 1;
    }
    return !this.isBusy;
  }

  /** Closes every connection after what was written to it. */
  async close(): Promise<void> {
    this.server.close();
    for (const session of this.sessions.values()) session.end();
    const until = this.context.clock.monotonic() + 2_500;
    while (this.sessions.size > 0 && this.context.clock.monotonic() < until) {
      await sleep(this.context.clock, 10);
    }
    for (const session of this.sessions.values()) session.socket.destroy();
  }

  private get isBusy(): boolean {
    for (const session of this.sessions.values()) {
      if (session.inFlight > 0 || session.socket.writableLength > 0) return true;
    }
    return false;
  }

  private get isFull(): boolean {
    return this.inFlightBytes >= this.options.globalInFlightBytesMax;
  }

  /**
   * With TLS a connection is a session once its handshake is through: those that are in it count as
   * well, and who finds no room is cut off, since words would take a handshake.
   */
  private boundHandshakes(connectionsMax: number): void {
    this.server.maxConnections = connectionsMax;
    this.server.on('drop', (of) => {
      this.violations++;
      const peer = `${of?.remoteAddress ?? '?'}:${of?.remotePort ?? 0}`;
      const code = ErrorCode.TOO_MANY_CONNECTIONS;
      this.context.log.info({ peer, code, message: 'this node is full' }, 'connection refused');
    });
  }

  private accept(accepted: Socket): void {
    this.accepted++;
    const take = (bytes: Buffer): void => session.receive(bytes);
    const isPlain = this.options.tls === undefined;
    const socket = isPlain ? shareReads(accepted, take) : accepted.on('data', take);
    const session = new Session(this.nextId, socket, this.options.limits, this.hooks);
    this.nextId = this.nextId === 0xffff_ffff ? 1 : this.nextId + 1;
    this.sessions.set(session.id, session);
    if (this.sessions.size > this.options.connectionsMax) {
      this.violate(session, ErrorCode.TOO_MANY_CONNECTIONS, 'this node is full');
    } else if (this.draining) {
      this.violate(session, ErrorCode.DRAINING, 'this node is going away');
    }
  }

  private closed(session: Session): void {
    this.sessions.delete(session.id);
    this.waiting.delete(session);
    session.lane?.call('closeSession', session.id).catch(() => {});
    this.context.consume.connectionLost(session.id);
    this.waiting.wakeNode(this.lacksRoom);
  }

  private onFrame(session: Session, frame: Frame): void {
    if (!session.ready) {
      session.hold('handshake');
      this.run(session, frame, hello);
      return;
    }
    const settle = SETTLERS.get(frame.opcode);
    if (settle !== undefined) {
      this.settle(session, frame, settle);
      return;
    }
    const handler = HANDLERS.get(frame.opcode);
    if (handler === undefined) {
      const code = frame.opcode === Opcode.HELLO ? ErrorCode.MALFORMED : ErrorCode.UNKNOWN_OPCODE;
      const words = `opcode 0x${frame.opcode.toString(16)} is not known here`;
      this.fail(session, frame, new ProtocolError(code, words));
      return;
    }
    const max = bounds.controlsPerConnectionMax + bounds.tailsPerConnectionMax;
    session.controls++;
    if (session.controls >= max) session.hold('control');
    this.run(session, frame, handler);
  }

  private run(session: Session, frame: Frame, handler: Handler): void {
    const { opcode, correlationId } = frame;
    const request = { ...frame, opcode, correlationId };
    const isHello = handler === hello;
    void (async () => {
      try {
        const write = await handler(this.context, session, request);
        const bytes = this.answerBytes(write);
        gather(session.socket);
        session.write(bytes);
        if (isHello) this.welcome(session);
      } catch (error) {
        this.fail(session, request, error);
      } finally {
        if (!isHello) {
          session.controls--;
          session.release('control');
        }
      }
    })();
  }

  /** What is answered at once, or later by whoever it was handed to: no promise for each. */
  private settle(session: Session, frame: Frame, handler: SettleHandler): void {
    try {
      handler(this.context, session, frame);
    } catch (error) {
      this.fail(session, frame, error);
    }
  }

  private welcome(session: Session): void {
    if (this.sessions.has(session.id)) session.becomeReady();
    // It left while its lane was being asked.
    else session.lane?.call('closeSession', session.id).catch(() => {});
  }

  /** An answer as one frame, *owned*. @throws ProtocolError MESSAGE_TOO_LARGE: no frame holds it */
  private answerBytes(write: WriteAnswer): Buffer {
    const bytes = this.frame(write);
    const { frameBytesMax } = this.context.limits;
    if (bytes.length - 4 <= frameBytesMax) return Buffer.from(bytes);
    const words = `an answer of ${bytes.length} bytes fits no frame of ${frameBytesMax}: ask for less`;
    throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, words);
  }

  /** One frame, *borrowed* until the next. */
  private frame(write: WriteAnswer): Buffer {
    this.writer.reset();
    write(this.writer);
    return this.writer.view();
  }

  private fail(session: Session, frame: Frame, error: unknown): void {
    const { code, message, retryAfterMs } = errorOf(error);
    if (code === ErrorCode.INTERNAL) {
      this.context.log.error({ err: error, peer: session.peer }, 'a request failed');
    }
    const request = { opcode: frame.opcode & ~ANSWER, correlationId: frame.correlationId };
    const bytes = this.frame((w) => encodeFailure(w, request, { code, message, retryAfterMs }));
    if (!session.ready || errorRow(code)?.fatal === true) {
      this.refuse(session, Buffer.from(bytes));
    } else session.write(Buffer.from(bytes));
  }

  private violate(session: Session, code: number, message: string): void {
    if (session.closing) return;
    this.context.log.info({ peer: session.peer, code, message }, 'connection refused');
    this.refuse(session, this.errorBytes(code, message));
  }

  /** Ends a connection that broke a rule; once, whatever else is found while it ends. */
  private refuse(session: Session, bytes: Buffer): void {
    if (session.closing) return;
    this.violations++;
    session.end(bytes);
  }

  private errorBytes(code: number, message: string): Buffer {
    return Buffer.from(this.frame((w) => encodeError(w, { code, message })));
  }

  /** Somebody speaks another protocol here: says so in words they can read. */
  private foreign(session: Session, head: Buffer): void {
    const words =
      'This port speaks MQP, a binary protocol. Metrics and health are on the admin port.\n';
    if (HTTP_METHOD.test(head.toString('latin1', 0, 4))) {
      const answer = `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: ${words.length}\r\nconnection: close\r\n\r\n${words}`;
      this.refuse(session, Buffer.from(answer));
      return;
    }
    const message = `the first frame is a HELLO of at most ${bounds.handshakeFrameBytesMax} bytes`;
    this.violate(session, ErrorCode.BAD_MAGIC, message);
  }
}

function errorOf(error: unknown): { code: number; message: string; retryAfterMs: number } {
  if (error instanceof ProtocolError) return error;
  if (error instanceof CodedError) {
    const code = ErrorCode[error.code as keyof typeof ErrorCode] ?? ErrorCode.INTERNAL;
    return { code, message: error.message, retryAfterMs: error.retryAfterMs ?? 0 };
  }
  return { code: ErrorCode.INTERNAL, message: messageOf(error), retryAfterMs: 0 };
}
