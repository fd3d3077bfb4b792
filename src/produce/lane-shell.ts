import { ErrorCode } from '../../protocol/src/generated.ts';
import { systemClock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import { createLogger, type Logger } from '../base/log.ts';
import type { LaneDelay, LaneEvent, LaneMemory, LaneTopic, SendPlan } from '../lanes/lane-calls.ts';
import { RingWriter } from '../lanes/ring.ts';
import { BatchBuilder, ringDoorbell } from '../native/addon.ts';
import type { BatchBuilder as Builder } from '../native/batch-builder.ts';
import { Acker } from './intake/acker.ts';
import { LaneStats, stat } from './intake/lane-stats.ts';
import type { Pressure } from './journal/journal.ts';
import type { QuotaMarks } from './journal/outbox-journal.ts';
import { type LaneOptions, refusedTopic } from './lane-options.ts';
import { ResendLog } from './sending/resend-log.ts';

/** What a {@link LaneShell} is made of. */
export interface LaneShellParts {
  readonly options: LaneOptions;
  readonly memory: LaneMemory;
  /** The doorbell of the main thread. */
  readonly mainBell: number;
  onEvent(event: LaneEvent): void;
  /** The store, or what depends on it, failed. */
  fail(error: unknown): void;
  /** Whether the session is connected, as far as it can be known now. */
  isOpen(session: number): boolean;
}

/** What of a lane lives on when its store is closed and opened again. */
export class LaneShell {
  readonly options: LaneOptions;
  readonly memory: LaneMemory;
  readonly log: Logger;
  readonly stats: LaneStats;
  readonly acker: Acker;
  readonly builder: Builder;
  readonly marks: QuotaMarks;
  /** Here, since notes may wait for the disk. */
  readonly resends: ResendLog;
  /** Topics that the main thread has told of, by their node-wide id. */
  readonly topics = new Map<number, LaneTopic>();
  /** What goes to which cluster, as last told. */
  plan: SendPlan | undefined;
  readonly onEvent: (event: LaneEvent) => void;
  readonly fail: (error: unknown) => void;
  readonly wakeMain: () => void;
  private readonly allStats: readonly LaneStats[];
  private pressure: Pressure = 'none';

  constructor({ options, memory, mainBell, onEvent, fail, isOpen }: LaneShellParts) {
    this.options = options;
    this.memory = memory;
    this.onEvent = onEvent;
    this.fail = fail;
    this.wakeMain = () => ringDoorbell(mainBell);
    this.log = createLogger(options.logLevel).child({ lane: options.lane });
    this.stats = new LaneStats(memory.stats);
    this.allStats = memory.allStats.map((stats) => new LaneStats(stats));
    this.marks = { ...options.marks };
    const { stats, log } = this;
    this.resends = new ResendLog({ dataDir: options.dataDir, clock: systemClock, stats, log });
    this.acker = new Acker(new RingWriter(memory.answers), this.wakeMain, isOpen);
    this.builder = new BatchBuilder({
      messageBytesMax: options.messageBytesMax,
      keyBytesMax: options.keyBytesMax,
      headersBytesMax: options.headersBytesMax,
      messagesMax: limits.batchMessagesMax,
      segmentsMax: limits.batchSegmentsMax,
    });
    this.builder.setTopic(refusedTopic.notOpen, { code: ErrorCode.TOPIC_NOT_OPEN });
    this.builder.setTopic(refusedTopic.notAuthorized, { code: ErrorCode.NOT_AUTHORIZED });
  }

  /** Messages that the primary cluster has confirmed, of all lanes. */
  confirmedByPrimary(): number {
    return this.allStats.reduce((sum, lane) => sum + lane.get(stat.confirmedPrimary), 0);
  }

  /** Says how full the disk is, when that has changed. */
  press(pressure: Pressure): void {
    if (pressure === this.pressure) return;
    this.pressure = pressure;
    this.onEvent({ kind: 'pressure', pressure });
  }

  setTopic(topic: LaneTopic): void {
    this.topics.set(topic.id, topic);
    this.builder.setTopic(topic.id, {
      partitions: topic.partitions,
      messageBytesMax: topic.messageBytesMax,
      name: topic.name,
    });
  }

  setDelay({ topic, levelsMs }: LaneDelay): void {
    const originNode = this.options.nodeId;
    this.builder.setDue({ topic, levelsMs: Float64Array.from(levelsMs), originNode });
  }
}
