import { encodeCommit } from '../../../protocol/src/commit.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import type { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ErrorCode, Opcode, PROTOCOL_LIMIT } from '../../../protocol/src/generated.ts';
import { settleEntryBytes, writeSettleEntry } from '../../../protocol/src/settle-entries.ts';
import { SettleFailures } from '../../../protocol/src/settled.ts';
import { connectionError, type MqpError, nodeError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Lease, Run } from './lease.ts';
import type { AskOwner } from './other-nodes.ts';
import type { SettleKind } from './settle-kind.ts';

/** Frames that wait for their answer; what is asked meanwhile collects for the next. */
const FRAMES_MAX = 8;
const INDEX_BITS = 65_536;
const indexes = new Uint16Array(PROTOCOL_LIMIT.settleMessagesMax);
const failures = new SettleFailures();

/** One message of a frame, and who waits for it. */
interface Wish {
  readonly lease: Lease;
  resolve(): void;
  reject(error: MqpError): void;
  /** It left once already, on a connection that ended before the answer. */
  isRepeated: boolean;
}

/** Wishes of one kind, by their run. */
interface Group {
  readonly kind: SettleKind;
  readonly wishes: Map<Run, Wish[]>;
}

/** Messages of one run whose leases another node has. */
interface Foreign {
  readonly wishes: Wish[];
  readonly refusal: MqpError;
}

export interface SettlerOptions {
  /** How long an answer may take before it is asked again, ms. */
  readonly timeoutMs: number;
  readonly frameBytesMax: () => number;
  /** Waits before the next try after an error of the node. */
  readonly sleep: () => Promise<void>;
  /** Asks other nodes what one refused with NOT_OWNER. */
  readonly followOwner: (refusal: MqpError, ask: AskOwner<void>) => Promise<void>;
  /** A NACK was answered: called before the next frame is read. */
  readonly givenBack: (lease: Lease) => void;
  /** A COMMIT was answered: called before the next frame is read. */
  readonly committed: (lease: Lease) => void;
  /** Everything asked so far was answered. */
  readonly idle: () => void;
}

/**
 * Sends acks, nacks and extensions: what is asked in one turn of the event loop leaves in one frame
 * per kind. A lost connection is waited out and everything unanswered asked again, since tokens
 * hold on any connection and acking twice is good. What was leased by another node goes there.
 */
export class Settler {
  private readonly options: SettlerOptions;
  private groups = new Map<string, Group>();
  private exchange: Exchange | undefined;
  private framesOut = 0;
  private isScheduled = false;
  private end: MqpError | undefined;
  /** Wishes without an answer, also those in frames that have left. */
  private readonly open = new Set<Wish>();

  constructor(options: SettlerOptions) {
    this.options = options;
  }

  get unanswered(): number {
    return this.open.size;
  }

  connected(exchange: Exchange): void {
    this.exchange = exchange;
    this.framesOut = 0;
    this.wake();
  }

  disconnected(): void {
    this.exchange = undefined;
  }

  /** @throws MqpError LEASE_LOST, BAD_TOKEN, NOT_OWNER, or what ended the consumer */
  ask(kind: SettleKind, lease: Lease): Promise<void> {
    if (this.end !== undefined) return Promise.reject(this.end);
    return new Promise((resolve, reject) => {
      const wish = { lease, resolve, reject, isRepeated: false };
      this.open.add(wish);
      this.add(kind, wish);
      this.wake();
    });
  }

  /** Acks a partition up to a message. It leaves by itself: it is rare. */
  commit(lease: Lease, committed: boolean): Promise<void> {
    const { token } = lease.run;
    const kind: SettleKind = {
      key: `commit ${committed} ${lease.index} ${token.toString('latin1')}`,
      opcode: Opcode.COMMIT,
      headBytes: 0,
      begin: (writer, id) => encodeCommit(writer, id, { committed, token, index: lease.index }),
    };
    return this.ask(kind, lease);
  }

  /** Rejects what has no answer, and all that is asked from now on. */
  close(error: MqpError): void {
    this.end = error;
    this.groups.clear();
    this.rejectAll(this.open, error);
  }

  private add(kind: SettleKind, wish: Wish): void {
    let group = this.groups.get(kind.key);
    if (group === undefined) {
      group = { kind, wishes: new Map() };
      this.groups.set(kind.key, group);
    }
    const { run } = wish.lease;
    const wishes = group.wishes.get(run);
    if (wishes === undefined) group.wishes.set(run, [wish]);
    else wishes.push(wish);
  }

  private wake(): void {
    if (this.isScheduled || this.groups.size === 0) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    while (this.exchange !== undefined && this.framesOut < FRAMES_MAX) {
      const [group] = this.groups.values();
      if (group === undefined) return;
      const entries = this.take(group);
      if (group.wishes.size === 0) this.groups.delete(group.kind.key);
      this.send(this.exchange, group.kind, entries);
    }
  }

  /** As many wishes of a group as a frame holds. */
  private take(group: Group): Wish[][] {
    const entries: Wish[][] = [];
    let messages: number = PROTOCOL_LIMIT.settleMessagesMax;
    let bytes = this.options.frameBytesMax() - PROTOCOL_LIMIT.reasonBytesMax - 64;
    for (const [run, wishes] of group.wishes) {
      const fitting = Math.min(messages, Math.floor((bytes - settleEntryBytes(0)) / 2));
      if (fitting <= 0) break;
      const taken = wishes.length <= fitting ? wishes : wishes.splice(0, fitting);
      if (taken === wishes) group.wishes.delete(run);
      entries.push(taken);
      messages -= taken.length;
      bytes -= settleEntryBytes(taken.length);
    }
    return entries;
  }

  private send(exchange: Exchange, kind: SettleKind, entries: Wish[][]): void {
    this.framesOut++;
    const encode = (writer: FrameWriter, id: number) => write(writer, id, kind, entries);
    const decode = (frame: Frame) => {
      for (const foreign of this.answered(frame, kind, entries)) void this.follow(kind, foreign);
    };
    exchange
      .request(kind.opcode, encode, decode, this.options.timeoutMs)
      .catch((cause: unknown) => this.failed(exchange, kind, entries, cause))
      .finally(() => {
        if (exchange !== this.exchange) return;
        this.framesOut--;
        this.wake();
      });
  }

  /** Tells the callers how it went; what another node has is the caller's to ask there. */
  private answered(frame: Frame, kind: SettleKind, entries: Wish[][]): Foreign[] {
    failures.reset(frame);
    const failed = new Map<number, number>();
    while (failures.next()) {
      failed.set(failures.entry * INDEX_BITS + failures.index, failures.code);
    }
    const foreign: Foreign[] = [];
    for (let entry = 0; entry < entries.length; entry++) {
      let theirs: Wish[] | undefined;
      for (const wish of entries[entry] as Wish[]) {
        const code = failed.size === 0 ? 0 : failed.get(entry * INDEX_BITS + wish.lease.index);
        if (code === undefined || code === ErrorCode.OK || isDoneBefore(code, kind, wish)) {
          this.open.delete(wish);
          if (kind.opcode === Opcode.NACK) this.options.givenBack(wish.lease);
          else if (kind.opcode === Opcode.COMMIT) this.options.committed(wish.lease);
          wish.resolve();
        } else if (code === ErrorCode.NOT_OWNER) {
          theirs ??= [];
          theirs.push(wish);
        } else this.rejectAll([wish], nodeError(code, ''));
      }
      if (theirs === undefined) continue;
      foreign.push({ wishes: theirs, refusal: notOwner(failures.owner(entry)) });
    }
    if (this.open.size === 0) this.options.idle();
    return foreign;
  }

  private async follow(kind: SettleKind, { wishes, refusal }: Foreign): Promise<void> {
    const entries = [wishes];
    const encode = (writer: FrameWriter, id: number) => write(writer, id, kind, entries);
    const decode = (frame: Frame) => {
      const [foreign] = this.answered(frame, kind, entries);
      if (foreign === undefined) return;
      entries[0] = foreign.wishes;
      throw foreign.refusal;
    };
    try {
      await this.options.followOwner(refusal, (exchange, timeoutMs) =>
        exchange.request(kind.opcode, encode, decode, timeoutMs),
      );
    } catch (cause) {
      await this.failed(this.exchange, kind, entries, cause);
    }
  }

  private async failed(
    exchange: Exchange | undefined,
    kind: SettleKind,
    entries: Wish[][],
    cause: unknown,
  ): Promise<void> {
    const error = connectionError('DISCONNECTED', cause);
    if (!error.isRetriable || this.end !== undefined) {
      for (const wishes of entries) this.rejectAll(wishes, this.end ?? error);
      return;
    }
    if (exchange === this.exchange) await this.options.sleep();
    for (const wishes of entries) {
      for (const wish of wishes) {
        wish.isRepeated = true;
        if (this.end === undefined) this.add(kind, wish);
        else this.rejectAll([wish], this.end);
      }
    }
    this.wake();
  }

  private rejectAll(wishes: Iterable<Wish>, error: MqpError): void {
    for (const wish of wishes) {
      this.open.delete(wish);
      wish.reject(error);
    }
    if (this.open.size === 0) this.options.idle();
  }
}

function write(writer: FrameWriter, id: number, kind: SettleKind, entries: Wish[][]): void {
  kind.begin(writer, id);
  if (kind.opcode === Opcode.COMMIT) return;
  for (const wishes of entries) {
    for (let i = 0; i < wishes.length; i++) indexes[i] = (wishes[i] as Wish).lease.index;
    writeSettleEntry(writer, (wishes[0] as Wish).lease.run.token, indexes, 0, wishes.length);
  }
  writer.end();
}

/** A NACK that is said again finds no lease when it was heard the first time. */
function isDoneBefore(code: number, kind: SettleKind, wish: Wish): boolean {
  return wish.isRepeated && kind.opcode === Opcode.NACK && code === ErrorCode.LEASE_LOST;
}

function notOwner(ownerNodeId: string | undefined): MqpError {
  const words = ownerNodeId === undefined ? '' : `the partition is read by node ${ownerNodeId}`;
  return nodeError(ErrorCode.NOT_OWNER, words, { ownerNodeId });
}
