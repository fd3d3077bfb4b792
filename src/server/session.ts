import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { type Frame, readFrame } from '../../protocol/src/frame.ts';
import { ErrorCode, FRAME_LENGTH_MIN, Opcode } from '../../protocol/src/generated.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Receiver } from '../consume/partition/subscription.ts';
import type { LaneLink } from '../lanes/lane-link.ts';
import { ReadSlots } from './read-slots.ts';
import type { SessionLimits } from './session-limits.ts';
import type { Access } from './tokens.ts';
import type { Room } from './waiting-sessions.ts';

/** A run of produce frames is handed to the lane at this length at the latest, in bytes. */
const RUN_BYTES_MAX = 256 * 1024;

/** What a session asks of the server it belongs to. */
export interface SessionHooks {
  readonly clock: Clock;
  /** A whole frame that is not a produce; *borrowed*: decode before the first await. */
  onFrame(session: Session, frame: Frame): void;
  /** The peer broke a rule that costs it the connection. */
  onViolation(session: Session, code: number, message: string): void;
  /** The first bytes are no frame at all. */
  onForeign(session: Session, head: Buffer): void;
  /** Whether more bytes may wait for their answer, all connections together. */
  mayTake(): boolean;
  /** Holds for lack of room: `release` with the same word follows. */
  onNoRoom(session: Session, where: Room): void;
  /** Messages that came after GOAWAY: the bytes of their refusal. */
  refuse(frames: Buffer): Buffer;
  /** A run was taken. Answers for how many ms the session is not to be read, by its rate. */
  onTaken(session: Session, messages: number, bytes: number): number;
  onReturned(bytes: number): void;
  onClosed(session: Session): void;
  onDrain(session: Session): void;
}

/** Why a session takes no more frames for the moment. */
type Hold = Room | 'handshake' | 'in-flight' | 'unread' | 'rate' | 'control' | 'settle';

/**
 * One connection: cuts the byte stream into frames, hands runs of produce frames to its lane, and
 * writes answers. While anything holds it, the socket is paused and the bytes read so far are
 * kept; there are at most one read's worth of them.
 */
export class Session implements Receiver {
  readonly id: number;
  readonly socket: Socket;
  readonly peer: string;
  ready = false;
  name = '';
  producerId = 0n;
  epoch = 0;
  access: Access | undefined;
  lane: LaneLink | undefined;
  /** Messages without an answer, and their bytes (estimated while some are answered). */
  inFlight = 0;
  inFlightBytes = 0;
  /** Requests of the control kind that have no answer yet. */
  controls = 0;
  /** ACK, NACK, EXTEND and COMMIT that have no answer yet. */
  settles = 0;
  /** Ends what this session waits for elsewhere (tails). */
  readonly abort = new AbortController();
  /** Turns of this connection's reads: TAIL answers that are being made. */
  readonly reads: ReadSlots;
  /** Names of opened topics by their id on this connection, and their node-wide ids. */
  readonly topicNames: string[] = [''];
  topicIds = new Uint16Array(16);

  private readonly limits: SessionLimits;
  private readonly hooks: SessionHooks;
  private readonly holds = new Set<Hold>();
  /** The beginning of a frame that has not come whole. */
  private partial: Buffer | undefined;
  private partialBytes = 0;
  /** What was read and may not be taken yet. */
  private held: Buffer | undefined;
  /** Said goodbye, or gone: nothing more is taken. */
  closing = false;
  /** GOAWAY was sent: nothing new is taken. */
  private leaving = false;
  private lastByteMs: number;
  private timer: Timer | undefined;

  constructor(id: number, socket: Socket, limits: SessionLimits, hooks: SessionHooks) {
    this.id = id;
    this.socket = socket;
    this.limits = limits;
    this.hooks = hooks;
    this.peer = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.lastByteMs = hooks.clock.monotonic();
    socket.setNoDelay(true);
    setMaxListeners(0, this.abort.signal);
    this.reads = new ReadSlots(() => socket.writableLength <= limits.unreadAnswerBytesMax);
    socket.on('drain', () => {
      this.release('unread');
      this.reads.wake();
      hooks.onDrain(this);
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => this.closed());
    this.timer = hooks.clock.setTimer(() => this.handshakeLate(), limits.handshakeTimeoutMs);
  }

  get isClogged(): boolean {
    return this.socket.writableLength > this.limits.cloggedBytes;
  }

  /** HELLO was answered: from now on every frame may come. */
  becomeReady(): void {
    this.ready = true;
    this.timer?.cancel();
    this.watchIdle(this.limits.idleTimeoutMs);
    this.release('handshake');
  }

  /** Stops taking frames until {@link release} with the same word. */
  hold(why: Hold): void {
    this.holds.add(why);
    this.socket.pause();
  }

  /** Takes up again when nothing else holds. */
  release(why: Hold): void {
    if (!this.holds.delete(why) || this.holds.size > 0 || this.closing) return;
    const { held } = this;
    this.held = undefined;
    if (held !== undefined) this.take(held, 0);
    if (this.holds.size === 0) this.socket.resume();
  }

  /** Sends bytes. True: the system has taken them; otherwise the caller has given them away. */
  write(bytes: Buffer): boolean {
    if (this.socket.destroyed || this.socket.writableEnded) return true;
    this.socket.write(bytes);
    const unread = this.socket.writableLength;
    if (unread > this.limits.unreadAnswerBytesHardMax) this.socket.destroy();
    else if (unread > this.limits.unreadAnswerBytesMax) this.hold('unread');
    return unread === 0;
  }

  /** Answers of the lane: whole frames, and how many messages they answer. */
  answered(messages: number, bytes: Buffer): void {
    const share =
      messages >= this.inFlight
        ? this.inFlightBytes
        : (this.inFlightBytes * messages) / this.inFlight;
    this.inFlight = Math.max(0, this.inFlight - messages);
    this.inFlightBytes -= share;
    this.hooks.onReturned(share);
    this.write(bytes);
    if (this.holds.has('in-flight') && !this.isFull) this.release('in-flight');
  }

  /** Tells the client to go: `goaway` is sent, and what it produces from now on is refused. */
  leave(goaway: Buffer): void {
    this.write(goaway);
    this.leaving = true;
  }

  /** Says goodbye after what was written, and takes nothing more. */
  end(bytes?: Buffer): void {
    if (this.closing) return;
    this.closing = true;
    this.socket.end(bytes ?? '');
    // A peer that does not read its end is cut off.
    this.hooks.clock.setTimer(() => this.socket.destroy(), 2_000);
  }

  /** Gives an opened topic its id on this connection; 0 when there are too many. */
  openTopic(name: string, nodeTopic: number): number {
    const known = this.topicNames.indexOf(name);
    const id = known > 0 ? known : this.topicNames.length;
    if (id > this.limits.topicsPerConnectionMax) return 0;
    if (id >= this.topicIds.length) {
      const grown = new Uint16Array(this.topicIds.length * 4);
      grown.set(this.topicIds);
      this.topicIds = grown;
    }
    this.topicNames[id] = name;
    this.topicIds[id] = nodeTopic;
    return id;
  }

  private get isOwing(): boolean {
    return this.inFlight + this.controls + this.settles + this.holds.size > 0;
  }

  private get isFull(): boolean {
    const { inFlightMessagesMax, inFlightBytesMax } = this.limits;
    return this.inFlight >= inFlightMessagesMax || this.inFlightBytes >= inFlightBytesMax;
  }

  /** Takes what a read brought; *borrowed*: what cannot be taken at once is copied. */
  receive(chunk: Buffer): void {
    this.lastByteMs = this.hooks.clock.monotonic();
    if (this.closing) return;
    if (this.holds.size > 0) {
      // A read that was under way when the socket was paused.
      this.held = this.held === undefined ? Buffer.from(chunk) : Buffer.concat([this.held, chunk]);
      return;
    }
    this.take(chunk, 0);
  }

  /** Cuts `bytes` into frames from `at`; what is left over is kept. */
  private take(bytes: Buffer, at: number): void {
    let from = at;
    while (this.partial !== undefined) {
      const used = this.fill(bytes, from);
      if (used < 0) return;
      from += used;
      const { partial } = this;
      if (this.partialBytes < partial.length) return;
      if (partial.length === 4) continue;
      this.partial = undefined;
      if (this.scan(partial, partial.length) === partial.length) continue;
      // Held before the very frame: it waits together with what follows.
      if (!this.closing) this.held = Buffer.concat([partial, bytes.subarray(from)]);
      return;
    }
    if (this.holds.size > 0) {
      // The frame that was put together holds the session: what follows it waits.
      if (from < bytes.length) this.held = Buffer.from(bytes.subarray(from));
      return;
    }
    const end = this.scan(bytes, bytes.length, from);
    if (this.closing || end === bytes.length) return;
    if (this.holds.size > 0) this.held = Buffer.from(bytes.subarray(end));
    else this.keep(bytes, end);
  }

  /** Keeps the beginning of a frame, in a buffer of the frame's own size once that is known. */
  private keep(bytes: Buffer, at: number): void {
    const left = bytes.length - at;
    const size = left >= 4 ? 4 + bytes.readUInt32BE(at) : 4;
    this.partial = Buffer.allocUnsafeSlow(size);
    bytes.copy(this.partial, 0, at);
    this.partialBytes = left;
  }

  /** Adds to the frame that has begun. Answers how many bytes it took, or -1 after a violation. */
  private fill(bytes: Buffer, at: number): number {
    let partial = this.partial as Buffer;
    let used = 0;
    if (this.partialBytes < 4) {
      used = bytes.copy(partial, this.partialBytes, at, at + 4 - this.partialBytes);
      this.partialBytes += used;
      if (this.partialBytes < 4) return used;
    }
    if (partial.length === 4) {
      const length = partial.readUInt32BE(0);
      if (!this.isLengthGood(length, partial, 0)) return -1;
      const whole = Buffer.allocUnsafeSlow(4 + length);
      partial.copy(whole);
      this.partial = whole;
      partial = whole;
    }
    const more = bytes.copy(partial, this.partialBytes, at + used);
    this.partialBytes += more;
    return used + more;
  }

  /**
   * Takes the whole frames of `bytes` up to `end`; answers the position of the first that was not
   * taken, because it is not whole or the session is held.
   */
  private scan(bytes: Buffer, end: number, from = 0): number {
    let at = from;
    let run = from;
    let messages = 0;
    while (end - at >= 4) {
      const length =
        (bytes[at] as number) * 16_777_216 +
        ((bytes[at + 1] as number) << 16) +
        ((bytes[at + 2] as number) << 8) +
        (bytes[at + 3] as number);
      if (!this.isLengthGood(length, bytes, at)) return end;
      const next = at + 4 + length;
      if (next > end) break;
      const opcode = bytes[at + 4] as number;
      if (this.ready && (opcode === Opcode.PRODUCE || opcode === Opcode.PRODUCE_BATCH)) {
        messages += this.address(bytes, at, opcode);
        at = next;
        if (at - run < RUN_BYTES_MAX) continue;
      }
      if (at > run) {
        if (!this.handOver(bytes, run, at, messages)) return run;
        run = at;
        messages = 0;
        if (this.holds.size > 0) return at;
        continue;
      }
      this.hooks.onFrame(this, readFrame(bytes, at));
      at = next;
      run = next;
      if (this.holds.size > 0 || this.closing) return at;
    }
    if (at > run && !this.handOver(bytes, run, at, messages)) return run;
    return at;
  }

  /** Writes the node-wide topic id into a produce frame; answers how many messages it holds. */
  private address(bytes: Buffer, at: number, opcode: number): number {
    const topic = ((bytes[at + 6] as number) << 8) | (bytes[at + 7] as number);
    const nodeTopic = (topic > 0 ? this.topicIds[topic] : 0) || 65_535;
    bytes[at + 6] = nodeTopic >>> 8;
    bytes[at + 7] = nodeTopic & 0xff;
    if (opcode === Opcode.PRODUCE) return 1;
    return ((bytes[at + 18] as number) << 8) | (bytes[at + 19] as number) || 1;
  }

  /** Gives a run of produce frames to the lane; false when it must wait, nothing was taken. */
  private handOver(bytes: Buffer, start: number, end: number, messages: number): boolean {
    const { lane } = this;
    if (lane === undefined) return true;
    if (this.leaving) {
      this.write(this.hooks.refuse(bytes.subarray(start, end)));
      return true;
    }
    if (this.isFull) {
      this.restore(bytes, start, end);
      this.hold('in-flight');
      return false;
    }
    const isNodeFull = !this.hooks.mayTake();
    if (isNodeFull || !lane.offer(this.id, messages, bytes, start, end)) {
      const where = isNodeFull ? 'node' : 'lane';
      this.restore(bytes, start, end);
      this.hold(where);
      this.hooks.onNoRoom(this, where);
      return false;
    }
    this.inFlight += messages;
    this.inFlightBytes += end - start;
    const waitMs = this.hooks.onTaken(this, messages, end - start);
    if (waitMs > 0) {
      this.hold('rate');
      this.hooks.clock.setTimer(() => this.release('rate'), waitMs);
    }
    return true;
  }

  /** Puts the connection's own topic ids back: the run will be addressed again. */
  private restore(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 4 + bytes.readUInt32BE(at)) {
      const nodeTopic = bytes.readUInt16BE(at + 6);
      bytes.writeUInt16BE(Math.max(0, this.topicIds.indexOf(nodeTopic)), at + 6);
    }
  }

  private isLengthGood(length: number, bytes: Buffer, at: number): boolean {
    const { handshakeFrameBytesMax, frameBytesMax } = this.limits;
    const max = this.ready ? frameBytesMax : handshakeFrameBytesMax;
    if (length >= FRAME_LENGTH_MIN && length <= max) return true;
    if (!this.ready && length > max) this.hooks.onForeign(this, bytes.subarray(at));
    else if (length > max) {
      const words = `a frame of ${length} bytes is above the limit of ${max}`;
      this.hooks.onViolation(this, ErrorCode.FRAME_TOO_LARGE, words);
    } else {
      const words = `a frame's length is at least ${FRAME_LENGTH_MIN}, not ${length}`;
      this.hooks.onViolation(this, ErrorCode.MALFORMED, words);
    }
    return false;
  }

  private handshakeLate(): void {
    const words = 'no HELLO came in time';
    this.hooks.onViolation(this, ErrorCode.HANDSHAKE_TIMEOUT, words);
  }

  private watchIdle(afterMs: number): void {
    this.timer = this.hooks.clock.setTimer(() => {
      const silentMs = this.hooks.clock.monotonic() - this.lastByteMs;
      const left = this.limits.idleTimeoutMs - silentMs;
      if (left > 0) this.watchIdle(left);
      else if (this.isOwing) this.watchIdle(this.limits.idleTimeoutMs);
      else this.hooks.onViolation(this, ErrorCode.IDLE_TIMEOUT, 'nothing came for too long');
    }, afterMs);
  }

  private closed(): void {
    this.closing = true;
    this.timer?.cancel();
    this.abort.abort();
    this.reads.close();
    this.hooks.onReturned(this.inFlightBytes);
    this.inFlightBytes = 0;
    this.partial = undefined;
    this.held = undefined;
    this.hooks.onClosed(this);
  }
}
