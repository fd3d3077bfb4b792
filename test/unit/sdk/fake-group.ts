import { decodeAck } from '../../../protocol/src/ack.ts';
import { type Assigned, encodeAssigned } from '../../../protocol/src/assigned.ts';
import { decodeCommit } from '../../../protocol/src/commit.ts';
import { type Credit, decodeCredit } from '../../../protocol/src/credit.ts';
import { beginDeliver, beginRun, endRun } from '../../../protocol/src/deliver.ts';
import { encodeFailure } from '../../../protocol/src/error-body.ts';
import { decodeExtend } from '../../../protocol/src/extend.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import { decodeNack } from '../../../protocol/src/nack.ts';
import { SettleEntries, TOKEN_BYTES } from '../../../protocol/src/settle-entries.ts';
import {
  beginSettled,
  endSettleFailures,
  writeSettleFailure,
  writeSettleOwner,
} from '../../../protocol/src/settled.ts';
import {
  decodeSubscribe,
  encodeSubscribed,
  type Subscribe,
  type Subscribed,
} from '../../../protocol/src/subscribe.ts';
import { type TailRecord, writeTailRecord } from '../../../protocol/src/tail.ts';
import { decodeUnsubscribe, encodeUnsubscribed } from '../../../protocol/src/unsubscribe.ts';
import type { FakeNode, FakeScript, FakeSession } from './fake-node.ts';

/** A frame that settles, as it came. */
export interface Settle {
  readonly opcode: number;
  readonly session: FakeSession;
  readonly correlationId: number;
  readonly committed: boolean;
  readonly delayMs: number | undefined;
  readonly reason: string;
  readonly dead: boolean;
  readonly leaseMs: number;
  /** First byte of the token, and the indexes. */
  readonly entries: readonly { readonly token: number; readonly indexes: readonly number[] }[];
}

/** What a script says of a frame that settles: failed messages, silence, or an error. */
export type SettleVerdict =
  | readonly { entry: number; index: number; code: number; owner?: string }[]
  | 'hold'
  | { readonly code: number };

const entries = new SettleEntries();
const NOTHING = { committed: false, delayMs: undefined, reason: '', dead: false, leaseMs: 0 };

/** The consume side of a scripted node: grants, delivers what it is told to, and takes notes. */
export class FakeGroup {
  readonly subscribes: Subscribe[] = [];
  readonly settles: Settle[] = [];
  readonly credits: Credit[] = [];
  readonly unsubscribes: number[] = [];
  grant: Partial<Subscribed> = {};
  /** Overrides for the n-th SUBSCRIBE, from 1; `hold`: it is answered by {@link granted}. */
  subscribe:
    | ((nth: number) => { code: number; retryAfterMs?: number } | 'hold' | undefined)
    | undefined;
  settle: ((settle: Settle) => SettleVerdict) | undefined;
  private readonly node: () => FakeNode;
  private readonly unanswered: (() => void)[] = [];
  private ids = 0;

  /** `node` is asked for later: the script is made first. */
  constructor(node: () => FakeNode) {
    this.node = node;
  }

  get script(): FakeScript {
    return {
      features: ['consume'],
      other: (frame, session) => {
        const isKnown = this.frame(frame, session);
        setImmediate(() => this.node().notify());
        return isKnown;
      },
    };
  }

  /** Messages of one run, by value. */
  deliver(values: readonly string[], run: Partial<RunOptions> = {}, session = this.last): void {
    const records = values.map((value, i) => ({
      offset: (run.firstOffset ?? 100) + i,
      timestampMs: 5,
      value: Buffer.from(value),
    }));
    this.deliverRecords(records, run, session);
  }

  deliverRecords(
    records: readonly TailRecord[],
    run: Partial<RunOptions> = {},
    session = this.last,
  ): void {
    const { writer } = session;
    const { topic = 'orders', cluster = 0, partition = 0, token = 1, attempts } = run;
    beginDeliver(writer, run.subscription ?? this.ids);
    const at = beginRun(writer, {
      topic: Buffer.from(topic),
      cluster,
      partition,
      token: Buffer.alloc(TOKEN_BYTES, token),
      firstOffset: run.firstOffset ?? 100,
      count: records.length,
    });
    for (let i = 0; i < records.length; i++) writer.u16(attempts?.[i] ?? 1);
    for (const record of records) writeTailRecord(writer, record);
    endRun(writer, at, records.length);
    writer.end();
    session.flush();
  }

  assign(assigned: Partial<Assigned>): void {
    const { writer } = this.last;
    encodeAssigned(writer, {
      subscription: this.ids,
      assigned: 1,
      topics: ['orders'],
      ...assigned,
    });
    this.last.flush();
  }

  /** Answers a frame that was held. */
  answer(settle: Settle, verdict: SettleVerdict = []): void {
    this.write(settle, verdict);
    settle.session.flush();
  }

  /** Answers the SUBSCRIBE frames that were held. */
  granted(): void {
    for (const answer of this.unanswered.splice(0)) answer();
  }

  /** Indexes that frames of this opcode named, in their order. */
  indexesOf(opcode: number): number[] {
    return this.settles
      .filter((settle) => settle.opcode === opcode)
      .flatMap((settle) => settle.entries.flatMap(({ indexes }) => [...indexes]));
  }

  private get last(): FakeSession {
    return this.node().last;
  }

  private frame(frame: Frame, session: FakeSession): boolean {
    switch (frame.opcode) {
      case Opcode.SUBSCRIBE:
        this.subscribed(frame, session);
        return true;
      case Opcode.UNSUBSCRIBE:
        this.unsubscribes.push(decodeUnsubscribe(frame));
        encodeUnsubscribed(session.writer, frame.correlationId);
        return true;
      case Opcode.CREDIT:
        this.credits.push(decodeCredit(frame));
        return true;
      case Opcode.ACK:
        this.settled(frame, session, { committed: decodeAck(frame, entries) });
        return true;
      case Opcode.NACK:
        this.settled(frame, session, decodeNack(frame, entries));
        return true;
      case Opcode.EXTEND:
        this.settled(frame, session, { leaseMs: decodeExtend(frame, entries) });
        return true;
      case Opcode.COMMIT: {
        const { committed, token, index } = decodeCommit(frame);
        const one = [{ token: token[0] as number, indexes: [index] }];
        this.settled(frame, session, { committed }, one);
        return true;
      }
      default:
        return false;
    }
  }

  private subscribed(frame: Frame, session: FakeSession): void {
    const request = decodeSubscribe(frame);
    this.subscribes.push(request);
    const { correlationId } = frame;
    const verdict = this.subscribe?.(this.subscribes.length);
    if (verdict === undefined) this.grantTo(request, session, correlationId);
    else if (verdict === 'hold') {
      this.unanswered.push(() => {
        this.grantTo(request, session, correlationId);
        session.flush();
      });
    } else encodeFailure(session.writer, frame, { message: 'scripted', ...verdict });
  }

  private grantTo(request: Subscribe, session: FakeSession, correlationId: number): void {
    this.ids++;
    encodeSubscribed(session.writer, correlationId, {
      subscription: this.ids,
      assigned: 4,
      mode: request.mode ?? 'shared',
      creditMessages: request.creditMessages ?? 256,
      creditBytes: request.creditBytes ?? 1,
      leaseMs: request.leaseMs ?? 30_000,
      ...this.grant,
    });
  }

  private settled(
    frame: Frame,
    session: FakeSession,
    head: object,
    read: Settle['entries'] = readEntries(),
  ): void {
    const { opcode, correlationId } = frame;
    const settle = { ...NOTHING, ...head, opcode, correlationId, session, entries: read };
    this.settles.push(settle);
    this.write(settle, this.settle?.(settle) ?? []);
  }

  private write(settle: Settle, verdict: SettleVerdict): void {
    const { writer } = settle.session;
    if (verdict === 'hold') return;
    if ('code' in verdict) {
      encodeFailure(writer, settle, { message: 'scripted', ...verdict });
      return;
    }
    const at = beginSettled(writer, settle.opcode, settle.correlationId);
    for (const { entry, index, code } of verdict) writeSettleFailure(writer, entry, index, code);
    endSettleFailures(writer, at);
    for (const { entry, owner } of verdict) {
      if (owner !== undefined) writeSettleOwner(writer, entry, owner);
    }
    writer.end();
  }
}

interface RunOptions {
  readonly subscription: number;
  readonly topic: string;
  readonly cluster: number;
  readonly partition: number;
  readonly token: number;
  readonly firstOffset: number;
  readonly attempts: readonly number[];
}

function readEntries(): { token: number; indexes: number[] }[] {
  const read: { token: number; indexes: number[] }[] = [];
  while (entries.next()) {
    const indexes = Array.from({ length: entries.count }, (_, i) => entries.index(i));
    read.push({ token: entries.bytes[entries.tokenAt] as number, indexes });
  }
  return read;
}
