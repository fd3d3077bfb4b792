import { decodeAck } from '../../protocol/src/ack.ts';
import { decodeCommit } from '../../protocol/src/commit.ts';
import { encodeFailure } from '../../protocol/src/error-body.ts';
import { decodeExtend } from '../../protocol/src/extend.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import type { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { decodeNack } from '../../protocol/src/nack.ts';
import { SettleEntries } from '../../protocol/src/settle-entries.ts';
import {
  beginSettled,
  encodeSettled,
  endSettleFailures,
  writeSettleFailure,
  writeSettleOwner,
} from '../../protocol/src/settled.ts';
import type { Clock } from '../base/clock.ts';
import { settleResult } from './lease/lease-window.ts';
import type { LeaseBook } from './lease-book.ts';
import type { CommitWaiter } from './partition/committer.ts';
import type { ConsumeStats } from './partition/consume-stats.ts';
import type { Refusal, Said } from './partition/failures.ts';
import type { ForeignToken } from './partition/owner-book.ts';
import type { ConsumePartition } from './partition/partition.ts';

/** What a {@link SettleDesk} asks of the engine. */
export interface DeskHooks {
  readonly clock: Clock;
  readonly stats: ConsumeStats;
  readonly book: LeaseBook;
  /** A message of a slot's subscription is settled. */
  onSettled(slot: number, count: number, nowMs: number): void;
  /** A partition settled so many. */
  onAcks(partition: ConsumePartition, count: number): void;
  /** A leased message, in the window's `block` and `index`, failed. */
  onFailed(partition: ConsumePartition, cause: 'nack' | 'dead', said: Said): void;
  /** The same of a message that an owner before has leased and that is not in the window yet. */
  onRefused(partition: ConsumePartition, offset: number, refusal: Refusal): void;
  /** `waiter` is told when the partition has committed what is settled now. */
  onWait(partition: ConsumePartition, waiter: CommitWaiter): void;
  /** Names the owners of other nodes' tokens; `isOwn` for a node id that is this one's. */
  ownersOf(tokens: readonly ForeignToken[]): Promise<readonly (string | undefined)[]>;
  isOwn(node: string): boolean;
}

const notCommitted = {
  code: ErrorCode.UNKNOWN,
  message: 'the partition was lost before the commit was done',
  retryAfterMs: 0,
};

/** Writes the answer to one request. */
export type WriteSettled = (writer: FrameWriter) => void;

/**
 * Takes ACK, NACK, EXTEND and COMMIT: read straight from the frame into the lease table. The answer
 * goes to `answer`, at once or, when it was asked for, after the commit that carries it.
 */
export class SettleDesk {
  readonly #hooks: DeskHooks;
  readonly #entries = new SettleEntries();
  /** Entry, index and code of what was not settled. */
  #failures: number[] = [];
  readonly #touched = new Set<ConsumePartition>();
  /** Entries that are another node's, and their tokens. */
  #foreign: { entry: number; token: ForeignToken }[] = [];

  constructor(hooks: DeskHooks) {
    this.#hooks = hooks;
  }

  ack(frame: Frame, answer: (write: WriteSettled) => void): void {
    const entries = this.#entries;
    const committed = decodeAck(frame, entries);
    const { book, stats, onSettled, onAcks, clock } = this.#hooks;
    const nowMs = clock.monotonic();
    this.#begin();
    for (let partition = this.#next(); partition !== undefined; partition = this.#next()) {
      const { window } = partition;
      const { firstOffset, run } = book;
      let done = 0;
      for (let i = 0; i < entries.count; i++) {
        const index = entries.index(i);
        const result = window.settle(firstOffset + index, run);
        if (result === settleResult.done) {
          done++;
          stats.attempts.add(window.lastAttempt);
          onSettled(window.lastSub, 1, nowMs);
        } else if (result === settleResult.lost) this.#fail(index, ErrorCode.LEASE_LOST);
        else stats.ackedAgain++;
      }
      stats.acked += done;
      if (done > 0) onAcks(partition, done);
      if (done > 0 && book.deliveredMs >= 0) stats.ackMs.add(nowMs - book.deliveredMs, done);
      if (committed) this.#touched.add(partition);
    }
    this.#answer(frame, answer);
  }

  commit(frame: Frame, answer: (write: WriteSettled) => void): void {
    const { committed, token, index } = decodeCommit(frame);
    const { book, stats, onSettled, onAcks } = this.#hooks;
    this.#begin();
    const bytes = Buffer.from(token.buffer, token.byteOffset, token.length);
    const partition = book.find(bytes, 0);
    if (partition === undefined) this.#failures.push(0, index, this.#refused(0));
    else if (partition.window.mode !== 'partition-ordered') {
      this.#failures.push(0, index, ErrorCode.NOT_SUPPORTED);
    } else {
      const offset = book.firstOffset + index;
      const done = partition.window.settleUpTo(offset, book.run, this.#onUpTo);
      if (done >= 0) {
        stats.acked += done;
        onSettled(partition.window.lastSub, done, this.#hooks.clock.monotonic());
        onAcks(partition, done);
        if (committed) this.#touched.add(partition);
      } else if (partition.window.settle(offset, book.run) === settleResult.lost) {
        this.#failures.push(0, index, ErrorCode.LEASE_LOST);
        stats.leaseLost++;
      }
    }
    this.#answer(frame, answer);
  }

  nack(frame: Frame, answer: (write: WriteSettled) => void): void {
    const entries = this.#entries;
    const { dead, delayMs, reason } = decodeNack(frame, entries);
    const { book, stats, onFailed, onRefused } = this.#hooks;
    const said: Said = { delayMs, reason };
    const cause = dead ? 'dead' : 'nack';
    this.#begin();
    for (let partition = this.#next(); partition !== undefined; partition = this.#next()) {
      const { firstOffset, run } = book;
      for (let i = 0; i < entries.count; i++) {
        const index = entries.index(i);
        const offset = firstOffset + index;
        if (partition.window.locate(offset, run)) onFailed(partition, cause, said);
        else if (partition.window.refuseInherited(offset, run)) {
          onRefused(partition, offset, { cause, said });
        } else {
          this.#fail(index, ErrorCode.LEASE_LOST);
          continue;
        }
        stats.nacked++;
      }
    }
    this.#answer(frame, answer);
  }

  extend(frame: Frame, answer: (write: WriteSettled) => void): void {
    const entries = this.#entries;
    const leaseMs = decodeExtend(frame, entries);
    const { book, stats, clock, onAcks } = this.#hooks;
    const dueMs = clock.monotonic() + leaseMs;
    this.#begin();
    for (let partition = this.#next(); partition !== undefined; partition = this.#next()) {
      const { window } = partition;
      const { firstOffset, run } = book;
      let isNamed = false;
      for (let i = 0; i < entries.count; i++) {
        const index = entries.index(i);
        const offset = firstOffset + index;
        if (window.locate(offset, run)) window.extend(window.block, window.index, dueMs);
        else if (!window.extendInherited(offset, run, dueMs)) {
          this.#fail(index, ErrorCode.LEASE_LOST);
          continue;
        }
        stats.extended++;
        if (partition.handedOver.has(offset)) isNamed = true;
      }
      // Each commit names these, with what is left of them: the next one says the longer end.
      if (isNamed) onAcks(partition, 0);
    }
    this.#answer(frame, answer);
  }

  /** COMMIT settles messages of other runs too. */
  readonly #onUpTo = (run: number, attempt: number): void => {
    const { book, stats, clock } = this.#hooks;
    stats.attempts.add(attempt);
    const deliveredMs = book.runs.timeOf(run);
    if (deliveredMs !== undefined) stats.ackMs.add(clock.monotonic() - deliveredMs);
  };

  #begin(): void {
    this.#failures = [];
    this.#foreign = [];
    this.#touched.clear();
  }

  /** Steps to the next entry whose token is good, and fails those before it. */
  #next(): ConsumePartition | undefined {
    const entries = this.#entries;
    while (entries.next()) {
      const partition = this.#hooks.book.find(entries.bytes, entries.tokenAt);
      if (partition !== undefined) return partition;
      this.#failEntry();
    }
    return undefined;
  }

  #fail(index: number, code: number): void {
    this.#hooks.stats.leaseLost++;
    this.#failures.push(this.#entries.entry, index, code);
  }

  /** Nothing of the entry is settled. */
  #failEntry(): void {
    const entries = this.#entries;
    const code = this.#refused(entries.entry);
    for (let i = 0; i < entries.count; i++) {
      this.#failures.push(entries.entry, entries.index(i), code);
    }
  }

  /** Counts a token that leases nothing here; its code. */
  #refused(entry: number): number {
    const { stats, book } = this.#hooks;
    const { code } = book;
    if (code === ErrorCode.BAD_TOKEN) stats.badTokens++;
    else if (code === ErrorCode.NOT_OWNER) {
      stats.notOwner++;
      this.#foreign.push({ entry, token: book.foreign });
    } else stats.leaseLost++;
    return code;
  }

  #answer(frame: Frame, answer: (write: WriteSettled) => void): void {
    const { opcode, correlationId } = frame;
    const failures = this.#failures;
    const write = this.#namingOwners(answer, (writer, owners) =>
      writeSettled(writer, { opcode, correlationId }, failures, owners),
    );
    if (this.#touched.size === 0) {
      write();
      return;
    }
    const waiter: CommitWaiter = {
      left: 0,
      failed: false,
      // Whether a commit that failed was taken is not known: the message may come again.
      done: (failed) => {
        if (!failed) write();
        else answer((writer) => encodeFailure(writer, { opcode, correlationId }, notCommitted));
      },
    };
    for (const partition of this.#touched) this.#hooks.onWait(partition, waiter);
  }

  /** Answers once the owners of other nodes' tokens are known; at once when there are none. */
  #namingOwners(
    answer: (write: WriteSettled) => void,
    write: (writer: FrameWriter, owners: Owners) => void,
  ): () => void {
    const foreign = this.#foreign;
    if (foreign.length === 0) return () => answer((writer) => write(writer, NO_OWNERS));
    const { ownersOf, isOwn } = this.#hooks;
    const names = ownersOf(foreign.map(({ token }) => token));
    return () =>
      void names.then((found) => {
        const owners: Owners = new Map();
        for (const [i, { entry }] of foreign.entries()) {
          const node = found[i];
          if (node !== undefined) owners.set(entry, isOwn(node) ? undefined : node);
        }
        answer((writer) => write(writer, owners));
      });
  }
}

/** By entry: the node to ask; undefined: it is this one, so the lease is lost. */
type Owners = Map<number, string | undefined>;

const NO_OWNERS: Owners = new Map();

function writeSettled(
  writer: FrameWriter,
  { opcode, correlationId }: { opcode: number; correlationId: number },
  failures: readonly number[],
  owners: Owners,
): void {
  if (failures.length === 0) {
    encodeSettled(writer, opcode, correlationId);
    return;
  }
  const at = beginSettled(writer, opcode, correlationId);
  for (let i = 0; i < failures.length; i += 3) {
    const [entry, index, code] = failures.slice(i, i + 3) as [number, number, number];
    const isHere = owners.has(entry) && owners.get(entry) === undefined;
    writeSettleFailure(writer, entry, index, isHere ? ErrorCode.LEASE_LOST : code);
  }
  endSettleFailures(writer, at);
  for (const [entry, node] of owners) if (node !== undefined) writeSettleOwner(writer, entry, node);
  writer.end();
}
