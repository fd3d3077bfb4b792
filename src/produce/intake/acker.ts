import { Answer, ProducedForm } from '../../../protocol/src/generated.ts';
import { limits } from '../../base/limits.ts';

/** Where finished answers go: the ring back to the main thread. */
export interface AnswerSink {
  /** Position for a payload of so many bytes in {@link bytes}, or -1 while there is no room. */
  reserve(payloadBytes: number): number;
  readonly bytes: Buffer;
  /** Hands the reserved payload over. True when the reader wants to be woken. */
  publish(session: number, messages: number, payloadBytes: number): boolean;
}

const { PLAIN, PLACED, REFUSED, SCHEDULED } = ProducedForm;
/** By form. */
const ENTRY_BYTES = [8, 24, 16, 16] as const;
const FRAME_HEADER_BYTES = 12;
/** A frame is closed at this length: every client takes it, and its reader sees answers early. */
const FRAME_BYTES_MAX = limits.frameBytesMin;
/**
 * Answers are handed over in pieces of this length at most: a part of what the ring takes at
 * once, so that a piece does not wait until the ring is empty.
 */
const PIECE_BYTES_MAX = 256 * 1024;
/** Up to so many bytes are moved by a loop. */
const LOOP_BYTES_MAX = 128;
const COUNT_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;

/** Frames of one form for one session, being written. */
interface FormBuffer {
  buffer: Buffer;
  end: number;
  /** Where the frame that is still open begins, or -1. */
  open: number;
}

/** Answers for one session that go into the ring together. */
interface Piece {
  /** By form. */
  readonly forms: (FormBuffer | undefined)[];
  /** Of all forms together. */
  bytes: number;
  messages: number;
}

interface Pending {
  /** Being written. */
  piece: Piece;
  /** Those before it, which are as long as they may be. */
  readonly full: Piece[];
  dirty: boolean;
}

/**
 * The one place from which answers to produced messages leave. Everything that was decided in a
 * round is gathered by session and handed over by {@link flush}: one entry, and so one socket
 * write, for each session, more only where they are long. What finds no room stays and goes with
 * the next flush; it is bounded by the messages a session may have in flight.
 */
export class Acker {
  private readonly sink: AnswerSink;
  private readonly wake: () => void;
  private readonly isOpen: (session: number) => boolean;
  private readonly sessions = new Map<number, Pending>();
  private dirty: number[] = [];
  private spare: number[] = [];
  private lastSession = -1;
  private lastPending: Pending | undefined;
  /** The reader wants to be woken for what this flush has handed over. */
  private isWanted = false;

  /** @param isOpen whether the session is still connected: verdicts come after its end, too */
  constructor(sink: AnswerSink, wake: () => void, isOpen: (session: number) => boolean) {
    this.sink = sink;
    this.wake = wake;
    this.isOpen = isOpen;
  }

  /** Sessions that something is kept for. */
  get sessionCount(): number {
    return this.sessions.size;
  }

  /** Answered OK at the level asked: `count` correlation ids from `first`. */
  plain(session: number, first: number, count: number): void {
    const pending = this.pendingOf(session);
    for (let done = 0; done < count; done += COUNT_MAX) {
      const n = Math.min(COUNT_MAX, count - done);
      const at = this.entry(pending, PLAIN, n);
      const { buffer } = pending.piece.forms[PLAIN] as FormBuffer;
      buffer.writeUInt32BE((first + done) >>> 0, at);
      buffer.writeUInt16BE(n, at + 4);
      buffer.writeUInt16BE(0, at + 6);
    }
  }

  /** Answered OK with places: message i of the run is at `offset` + i; offset -1 = unknown. */
  placed(
    session: number,
    first: number,
    count: number,
    place: { cluster: number; partition: number; offset: number },
  ): void {
    const pending = this.pendingOf(session);
    for (let done = 0; done < count; done += COUNT_MAX) {
      const n = Math.min(COUNT_MAX, count - done);
      const at = this.entry(pending, PLACED, n);
      const { buffer } = pending.piece.forms[PLACED] as FormBuffer;
      buffer.writeUInt32BE((first + done) >>> 0, at);
      buffer.writeUInt16BE(n, at + 4);
      buffer[at + 6] = place.cluster;
      buffer[at + 7] = 0;
      buffer.writeUInt32BE(place.partition >>> 0, at + 8);
      buffer.writeUInt32BE(0, at + 12);
      if (place.offset < 0) {
        buffer.writeUInt32BE(U32_MAX, at + 16);
        buffer.writeUInt32BE(U32_MAX, at + 20);
      } else {
        writeU64(buffer, at + 16, place.offset + done);
      }
    }
  }

  /** Delayed messages answered OK, with the time at which they were accepted. */
  scheduled(session: number, first: number, count: number, acceptedMs: number): void {
    const pending = this.pendingOf(session);
    for (let done = 0; done < count; done += COUNT_MAX) {
      const n = Math.min(COUNT_MAX, count - done);
      const at = this.entry(pending, SCHEDULED, n);
      const { buffer } = pending.piece.forms[SCHEDULED] as FormBuffer;
      buffer.writeUInt32BE((first + done) >>> 0, at);
      buffer.writeUInt16BE(n, at + 4);
      buffer.writeUInt16BE(0, at + 6);
      writeU64(buffer, at + 8, acceptedMs);
    }
  }

  /** Refused with `code`; `detail` as the code's row in the protocol says. */
  refused(
    session: number,
    first: number,
    count: number,
    why: { code: number; detail: number },
  ): void {
    const pending = this.pendingOf(session);
    for (let done = 0; done < count; done += COUNT_MAX) {
      const n = Math.min(COUNT_MAX, count - done);
      const at = this.entry(pending, REFUSED, n);
      const { buffer } = pending.piece.forms[REFUSED] as FormBuffer;
      buffer.writeUInt32BE((first + done) >>> 0, at);
      buffer.writeUInt16BE(n, at + 4);
      buffer.writeUInt16BE(why.code, at + 6);
      writeU64(buffer, at + 8, why.detail);
    }
  }

  /** Hands over what was gathered. Answers false while some of it finds no room. */
  flush(): boolean {
    if (this.dirty.length === 0) return true;
    const round = this.dirty;
    this.dirty = this.spare;
    this.spare = round;
    this.isWanted = false;
    for (let i = 0; i < round.length; i++) {
      const session = round[i] as number;
      const pending = this.sessions.get(session);
      if (pending === undefined) continue;
      pending.dirty = false;
      if (!this.isOpen(session)) this.forget(session);
      else if (!this.handOver(session, pending)) this.markDirty(session, pending);
    }
    round.length = 0;
    if (this.isWanted) this.wake();
    return this.dirty.length === 0;
  }

  /** Forgets a session; answers that were not handed over yet are dropped with it. */
  forget(session: number): void {
    this.sessions.delete(session);
    this.lastSession = -1;
    this.lastPending = undefined;
  }

  /** False: there is no room for all of it. */
  private handOver(session: number, pending: Pending): boolean {
    const { full, piece } = pending;
    while (full.length > 0) {
      if (!this.publish(session, full[0] as Piece)) return false;
      full.shift();
    }
    return piece.bytes === 0 || this.publish(session, piece);
  }

  /** Hands a piece over and empties it. False: there is no room for it. */
  private publish(session: number, piece: Piece): boolean {
    const { bytes } = this.sink;
    let to = this.sink.reserve(piece.bytes);
    if (to < 0) return false;
    for (const form of piece.forms) {
      if (form === undefined || form.end === 0) continue;
      closeFrame(form);
      move(form.buffer, bytes, to, form.end);
      to += form.end;
      form.end = 0;
    }
    if (this.sink.publish(session, piece.messages, piece.bytes)) this.isWanted = true;
    piece.bytes = 0;
    piece.messages = 0;
    return true;
  }

  private pendingOf(session: number): Pending {
    let pending = this.lastSession === session ? this.lastPending : this.sessions.get(session);
    if (pending === undefined) {
      pending = { piece: emptyPiece(), full: [], dirty: false };
      this.sessions.set(session, pending);
    }
    this.lastSession = session;
    this.lastPending = pending;
    if (!pending.dirty) this.markDirty(session, pending);
    return pending;
  }

  private markDirty(session: number, pending: Pending): void {
    pending.dirty = true;
    this.dirty.push(session);
  }

  /** Makes room for an entry of a form, which answers `messages`, and answers its position. */
  private entry(pending: Pending, form: 0 | 1 | 2 | 3, messages: number): number {
    const size = ENTRY_BYTES[form];
    if (pending.piece.bytes + FRAME_HEADER_BYTES + size > PIECE_BYTES_MAX) {
      pending.full.push(pending.piece);
      pending.piece = emptyPiece();
    }
    const { piece } = pending;
    let target = piece.forms[form];
    if (target === undefined) {
      target = { buffer: Buffer.allocUnsafeSlow(256), end: 0, open: -1 };
      piece.forms[form] = target;
    }
    if (target.open >= 0 && target.end - target.open + size > FRAME_BYTES_MAX) closeFrame(target);
    const need = target.end + size + FRAME_HEADER_BYTES;
    if (need > target.buffer.length) grow(target, need);
    const before = target.end;
    if (target.open < 0) {
      target.open = before;
      const { buffer } = target;
      buffer[before + 4] = Answer.PRODUCED;
      buffer[before + 5] = form;
      buffer.fill(0, before + 6, before + FRAME_HEADER_BYTES);
      target.end += FRAME_HEADER_BYTES;
    }
    const at = target.end;
    target.end += size;
    piece.bytes += target.end - before;
    piece.messages += messages;
    return at;
  }
}

function emptyPiece(): Piece {
  return { forms: [undefined, undefined, undefined, undefined], bytes: 0, messages: 0 };
}

function closeFrame(form: FormBuffer): void {
  if (form.open < 0) return;
  form.buffer.writeUInt32BE(form.end - form.open - 4, form.open);
  form.open = -1;
}

/** Most answers are short: a loop costs less than the view that `copy` makes of them. */
function move(from: Buffer, to: Buffer, at: number, bytes: number): void {
  if (bytes > LOOP_BYTES_MAX) from.copy(to, at, 0, bytes);
  else for (let i = 0; i < bytes; i++) to[at + i] = from[i] as number;
}

function grow(form: FormBuffer, need: number): void {
  const larger = Buffer.allocUnsafeSlow(Math.max(need, form.buffer.length * 2));
  form.buffer.copy(larger, 0, 0, form.end);
  form.buffer = larger;
}

function writeU64(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32BE(Math.floor(value / 4_294_967_296), at);
  buffer.writeUInt32BE(value >>> 0, at + 4);
}
