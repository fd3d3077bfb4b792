import { failureOf } from '../../../protocol/src/error-body.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ANSWER, Answer, AnswerFlag, Opcode } from '../../../protocol/src/generated.ts';
import { decodeGoaway, type Goaway } from '../../../protocol/src/goaway.ts';
import { encodePing } from '../../../protocol/src/ping.ts';
import type { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { Clock, Timer } from './clock.ts';
import type { Connection } from './connection.ts';
import { fromNode, MqpError, toMqpError } from './errors.ts';
import { OutBuffer } from './out-buffer.ts';

/** A control request on its way. */
interface Pending {
  readonly opcode: number;
  readonly timer: Timer;
  settle(frame: Frame | undefined, error: MqpError | undefined): void;
}

export interface ExchangeHost {
  /** Appends what there is to produce. */
  fill(out: OutBuffer): void;
  produced(frame: Frame): void;
  produceFailed(correlationId: number, error: ProtocolError): void;
  /** A control request was answered, or its deadline passed. */
  answered(): void;
  goaway(goaway: Goaway): void;
  /** DELIVER or ASSIGNED; *borrowed* during the call, save the bytes of its body. */
  pushed(frame: Frame): void;
  /** Once; every control request was rejected before. */
  closed(error: MqpError): void;
}

export interface ExchangeOptions {
  readonly clock: Clock;
  /** The node closes after so much silence; 0 = never. */
  readonly idleTimeoutMs: number;
}

/** Control requests have the upper half of the correlation ids, messages the lower. */
const CONTROL_IDS = 0x8000_0000;
const ID_MAX = 0x7fff_ffff;
/** May be answered late, and are asked again on the next connection: nobody waits for them. */
const PATIENT: ReadonlySet<number> = new Set([Opcode.TAIL, Opcode.SUBSCRIBE]);

/**
 * What goes over one connection: control requests with their answers, and the pipeline's frames.
 * Everything asked for in one tick leaves in one write; while a write is under way, the next
 * collects.
 */
export class Exchange {
  private readonly connection: Connection;
  private readonly host: ExchangeHost;
  private readonly options: ExchangeOptions;
  private readonly control = new FrameWriter();
  private readonly out = new OutBuffer();
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private isScheduled = false;
  private isClosed = false;
  private isSilent = false;
  private keepAlive: Timer | undefined;
  private readonly flushLater = () => this.flush();

  constructor(connection: Connection, host: ExchangeHost, options: ExchangeOptions) {
    this.connection = connection;
    this.host = host;
    this.options = options;
    connection.listener = {
      frame: (frame) => this.frame(frame),
      written: () => this.wake(),
      closed: (error) => this.closed(error),
    };
    this.watch();
  }

  /** A control request is under way whose answer is worth waiting for. */
  get isBusy(): boolean {
    for (const { opcode } of this.pending.values()) if (!PATIENT.has(opcode)) return true;
    return false;
  }

  /** There may be something to write: it leaves at the end of this tick. */
  wake(): void {
    if (this.isScheduled || this.connection.isWriting || this.isClosed) return;
    this.isScheduled = true;
    process.nextTick(this.flushLater);
  }

  /**
   * Sends a control request. `decode` reads the answer, whose bytes it may keep.
   * @throws MqpError of the node, TIMED_OUT, or DISCONNECTED when the connection ends first
   */
  request<T>(
    opcode: number,
    encode: (writer: FrameWriter, correlationId: number) => void,
    decode: (frame: Frame) => T,
    timeoutMs: number,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(new MqpError('DISCONNECTED', 'the connection is closed', { isRetriable: true }));
        return;
      }
      const id = (CONTROL_IDS | this.nextId) >>> 0;
      this.nextId = this.nextId === ID_MAX ? 1 : this.nextId + 1;
      try {
        encode(this.control, id);
      } catch (error) {
        this.control.cancel();
        reject(toMqpError(error));
        return;
      }
      const timer = this.options.clock.setTimer(() => {
        this.pending.delete(id);
        reject(new MqpError('TIMED_OUT', 'no answer before the deadline', { isRetriable: true }));
        this.host.answered();
      }, timeoutMs);
      this.pending.set(id, {
        opcode,
        timer,
        settle(frame, error) {
          timer.cancel();
          if (frame === undefined) {
            reject(error);
            return;
          }
          try {
            resolve(decode(frame));
          } catch (failure) {
            reject(toMqpError(failure));
          }
        },
      });
      this.wake();
    });
  }

  /** Sends a frame that is not answered when all is well. */
  send(encode: (writer: FrameWriter, correlationId: number) => void): void {
    if (this.isClosed) return;
    encode(this.control, CONTROL_IDS);
    this.wake();
  }

  /** Ends the connection; `reason` is told to all who wait. */
  close(reason: MqpError): void {
    if (this.connection.isClosed) this.closed(reason);
    else this.connection.destroy(reason);
  }

  private flush(): void {
    this.isScheduled = false;
    if (this.connection.isWriting || this.isClosed) return;
    const { out, control } = this;
    out.clear();
    if (control.length > 0) {
      out.append(control.view());
      control.reset();
    }
    this.host.fill(out);
    if (out.end > 0) this.connection.write(out.view());
    // The fill may have asked for more, such as a topic to be opened.
    else if (control.length > 0) this.wake();
  }

  private frame(frame: Frame): void {
    if (frame.opcode === Answer.PRODUCED) {
      const isFailed = (frame.flags & AnswerFlag.FAILED) !== 0;
      if (!isFailed) this.host.produced(frame);
      else this.host.produceFailed(frame.correlationId, failureOf(frame) as ProtocolError);
      return;
    }
    if (frame.opcode === Opcode.GOAWAY) {
      this.host.goaway(decodeGoaway(frame));
      return;
    }
    if (frame.opcode === Opcode.DELIVER || frame.opcode === Opcode.ASSIGNED) {
      this.host.pushed(frame);
      return;
    }
    const failure = failureOf(frame);
    const pending = this.pending.get(frame.correlationId);
    if (failure !== undefined) this.failed(frame, pending, fromNode(failure));
    else if (pending !== undefined && frame.opcode === (pending.opcode | ANSWER)) {
      this.pending.delete(frame.correlationId);
      pending.settle(frame, undefined);
      this.host.answered();
    }
  }

  private failed(frame: Frame, pending: Pending | undefined, error: MqpError): void {
    if (pending !== undefined) {
      this.pending.delete(frame.correlationId);
      pending.settle(undefined, error);
      this.host.answered();
    }
    if (error.isFatal || frame.opcode === Answer.ERROR) this.connection.destroy(error);
  }

  private closed(error: MqpError): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.keepAlive?.cancel();
    const lost = new MqpError('DISCONNECTED', error.message, { isRetriable: true, cause: error });
    for (const pending of this.pending.values()) pending.settle(undefined, lost);
    this.pending.clear();
    this.host.closed(error);
  }

  /** A silent node is asked for a sign of life; if none comes it counts as lost. */
  private watch(): void {
    const { clock, idleTimeoutMs } = this.options;
    if (idleTimeoutMs <= 0) return;
    this.keepAlive = clock.setTimer(() => {
      if (this.isSilent && !this.connection.hasHeard) {
        const text = `the node has been silent for ${idleTimeoutMs} ms`;
        this.connection.destroy(new MqpError('DISCONNECTED', text, { isRetriable: true }));
        return;
      }
      this.isSilent = true;
      this.connection.hasHeard = false;
      encodePing(this.control, CONTROL_IDS);
      this.wake();
      this.watch();
    }, idleTimeoutMs / 3);
  }
}
