import { beginAck } from '../../../protocol/src/ack.ts';
import { encodeCommit } from '../../../protocol/src/commit.ts';
import { DeliveredRuns } from '../../../protocol/src/delivered-runs.ts';
import { failureOf } from '../../../protocol/src/error-body.ts';
import { beginExtend } from '../../../protocol/src/extend.ts';
import { type Frame, readFrame } from '../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import { beginNack, type NackHead } from '../../../protocol/src/nack.ts';
import { writeSettleEntry } from '../../../protocol/src/settle-entries.ts';
import { SettleFailures } from '../../../protocol/src/settled.ts';
import type { Subscribe, Subscribed } from '../../../protocol/src/subscribe.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { limits } from '../../../src/base/limits.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { ConsumeEngine } from '../../../src/consume/engine.ts';
import type {
  Decision,
  Failure,
  SettlePolicy,
  Settler,
} from '../../../src/consume/lease/settle.ts';
import type { MapStore } from '../../../src/consume/partition/map-store.ts';
import type { Receiver } from '../../../src/consume/partition/subscription.ts';
import { PauseBook } from '../../../src/consume/pause-book.ts';
import type { MemoryCluster } from '../../support/memory-cluster.ts';
import { FakeClock } from '../backend/embedded/doubles.ts';

/** One message that came in a DELIVER. */
export interface Delivered {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly attempt: number;
  readonly value: string;
  readonly token: Buffer;
  readonly index: number;
}

/** A policy that does as it is told, and notes what it was asked. */
export class ScriptedPolicy implements SettlePolicy {
  ttlMs = Number.POSITIVE_INFINITY;
  attemptsMax = Number.POSITIVE_INFINITY;
  readonly failures: Failure[] = [];
  readonly moved: string[] = [];
  acks = 0;
  stale = 0;
  next: (failure: Failure) => Decision = () => ({ kind: 'retry', delayMs: 0 });
  onMove: () => Promise<void> = async () => {};

  acked(count: number): void {
    this.acks += count;
  }

  decide(failure: Failure): Decision {
    this.failures.push(failure);
    return this.next(failure);
  }

  async move(failure: Failure, record: Buffer): Promise<void> {
    await this.onMove();
    this.moved.push(`${failure.offset}:${record.toString('latin1', 21)}`);
  }

  async putOff(failure: Failure, _record: Buffer, dueMs: number): Promise<void> {
    await this.onMove();
    this.moved.push(`${failure.offset}@${dueMs}`);
  }

  expired(count: number): void {
    this.stale += count;
  }
}

/** A client of the engine, without a socket. */
export class FakeReceiver implements Receiver {
  readonly id: number;
  readonly name = 'fake';
  readonly peer = 'test';
  isClogged = false;
  readonly got: Delivered[] = [];
  readonly frames: Frame[] = [];
  readonly #runs = new DeliveredRuns();

  constructor(id: number) {
    this.id = id;
  }

  write(bytes: Buffer): boolean {
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      const frame = readFrame(bytes, at);
      this.frames.push({ ...frame, body: Buffer.from(frame.body) });
      if (frame.opcode === Opcode.DELIVER) this.#take(frame);
    }
    return true;
  }

  /** What came and was not taken yet. */
  take(): Delivered[] {
    return this.got.splice(0);
  }

  #take(frame: Frame): void {
    const runs = this.#runs;
    runs.reset(frame);
    while (runs.nextRun()) {
      while (runs.next()) {
        this.got.push({
          topic: runs.topic,
          partition: runs.partition,
          offset: runs.offset,
          attempt: runs.attempt,
          value: runs.value?.toString() ?? '',
          token: Buffer.from(runs.token),
          index: runs.index,
        });
      }
    }
  }
}

/** What became of an ACK, NACK or EXTEND. */
export interface Outcome {
  /** `entry/index/code` of what failed; undefined while there is no answer. */
  failed: string[] | undefined;
  /** `entry:node` of the owners that it named. */
  owners?: string[];
}

/** What a test wants otherwise. */
export interface UnderTestOptions {
  readonly secret?: string;
  readonly nodeId?: string;
  readonly maps?: MapStore;
  readonly commitAcks?: number;
  readonly frameBytesMax?: number;
  readonly log?: Logger;
  /** Real policies on the test's clock, in place of the scripted one. */
  readonly settler?: (clock: Clock) => Settler;
}

/** An engine on a clock and a cluster of a test's own. */
export class EngineUnderTest {
  readonly clock = new FakeClock();
  readonly policy = new ScriptedPolicy();
  readonly pauses = new PauseBook(new Map(), () => {});
  readonly engine: ConsumeEngine;
  readonly maps: MapStore;
  readonly #writer = new FrameWriter();
  #receivers = 0;

  constructor(cluster: MemoryCluster, options: UnderTestOptions = {}) {
    this.maps = options.maps ?? {
      committed: () => {},
      ensure: async () => {},
      write: () => Promise.reject(new RangeError('no map store here')),
      read: () => Promise.reject(new RangeError('no map store here')),
      writeLeases: () => Promise.reject(new RangeError('no map store here')),
      readLeases: () => Promise.reject(new RangeError('no map store here')),
    };
    this.engine = new ConsumeEngine({
      clock: this.clock,
      log: options.log ?? silentLogger(),
      nodeId: options.nodeId ?? 'node-1',
      secret: Buffer.from(options.secret ?? 'a secret of the cluster'),
      clusters: [{ backend: cluster, maps: this.maps }],
      settler: options.settler?.(this.clock) ?? { policyOf: () => this.policy },
      commitMs: 100,
      commitAcks: options.commitAcks ?? 10_000,
      frameBytesMax: options.frameBytesMax ?? limits.frameBytesMax,
      pauses: this.pauses,
      defer: (fn) => queueMicrotask(fn),
    });
  }

  async subscribe(asked: Partial<Subscribe> = {}): Promise<FakeReceiver & { sub: Subscribed }> {
    const receiver = new FakeReceiver(++this.#receivers);
    const sub = this.engine.subscribe(receiver, { group: 'g', topics: ['t'], ...asked });
    await this.pass(60);
    return Object.assign(receiver, { sub });
  }

  /** Lets time pass, and everything that follows from it happen. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10) {
      await quiet();
      this.clock.advance(Math.min(10, left));
    }
    await quiet();
  }

  ack(messages: readonly Delivered[], committed = false): Outcome {
    return this.#settle(messages, (writer) => beginAck(writer, 7, committed));
  }

  nack(messages: readonly Delivered[], head: Partial<NackHead> = {}): Outcome {
    const said = { dead: false, reason: 'no', ...head };
    return this.#settle(messages, (writer) => beginNack(writer, 7, said));
  }

  extend(messages: readonly Delivered[], leaseMs: number): Outcome {
    return this.#settle(messages, (writer) => beginExtend(writer, 7, leaseMs));
  }

  /** COMMIT up to a message. */
  commit({ token, index }: Delivered, committed = false): Outcome {
    this.#writer.reset();
    encodeCommit(this.#writer, 7, { committed, token, index });
    return this.#ask();
  }

  #settle(messages: readonly Delivered[], begin: (writer: FrameWriter) => void): Outcome {
    const writer = this.#writer;
    writer.reset();
    begin(writer);
    for (const { token, index } of messages) writeSettleEntry(writer, token, Uint16Array.of(index));
    writer.end();
    return this.#ask();
  }

  #ask(): Outcome {
    const writer = this.#writer;
    const outcome: Outcome = { failed: undefined };
    this.engine.settle(readFrame(Buffer.from(writer.view()), 0), (bytes) => {
      const whole = failureOf(readFrame(bytes, 0));
      if (whole !== undefined) {
        outcome.failed = [String(whole.code)];
        return;
      }
      const failures = new SettleFailures();
      failures.reset(readFrame(bytes, 0));
      outcome.failed = [];
      const owners: string[] = [];
      while (failures.next()) {
        outcome.failed.push(`${failures.entry}/${failures.index}/${failures.code}`);
        const owner = failures.owner(failures.entry);
        if (owner !== undefined) owners.push(`${failures.entry}:${owner}`);
      }
      if (owners.length > 0) outcome.owners = owners;
    });
    return outcome;
  }
}

/** Until no promise that is due is left. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}
