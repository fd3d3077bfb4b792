import type { Backend } from '../backend/port.ts';
import type { Clock } from '../base/clock.ts';
import { type LaneStats, laneState, stat } from '../produce/intake/lane-stats.ts';
import type { MqpServerStats } from './mqp-server.ts';

const LANE_STATES = ['serving', 'reopening', 'out', 'full'] as const;

/** Parts of {@link NodeStatus}. */
export interface NodeStatusParts {
  readonly manifest: { readonly nodeId: string; readonly backend: string; readonly lanes: number };
  readonly version: string;
  readonly config: { readonly dataDir: string };
  readonly backend: Backend;
  readonly lanes: readonly LaneStats[];
  readonly clock: Clock;
  server(): MqpServerStats | undefined;
  isDraining(): boolean;
  /** Why a lane is out of service, and what to do. */
  outBecause(lane: number): string;
  readonly catalog: {
    /** Why the topics file could not be written the last time. */
    readonly failure: { readonly message: string } | undefined;
  };
  /** What is to be said of the clusters: why the node is degraded, and a report. */
  readonly failover?: {
    readonly complaints: readonly string[];
    report(): Record<string, unknown>;
  };
}

/** What the node says of itself: STATUS, the admin port's /status and /readyz. */
export class NodeStatus {
  private readonly parts: NodeStatusParts;
  private readonly startedMs: number;

  constructor(parts: NodeStatusParts) {
    this.parts = parts;
    this.startedMs = parts.clock.monotonic();
  }

  /** 200 while the node can answer `stored`; a backend that is away only degrades it. */
  readiness(): {
    ready: boolean;
    state: 'ok' | 'degraded' | 'unready';
    reasons: string[];
  } {
    const reasons: string[] = [];
    if (this.parts.isDraining()) reasons.push('draining');
    this.parts.lanes.forEach((lane, i) => {
      if (lane.get(stat.pressure) === 2) reasons.push(`lane ${i} is above the hard disk mark`);
      if (lane.get(stat.laneState) === laneState.full) {
        reasons.push(`lane ${i} waits for room: its disk is full`);
      }
      if (lane.get(stat.laneState) === laneState.out) {
        reasons.push(`lane ${i} is out of service, ${this.parts.outBecause(i)}`);
      }
    });
    if (reasons.length > 0) return { ready: false, state: 'unready', reasons };
    const degraded = this.degradations();
    if (degraded.length > 0) return { ready: true, state: 'degraded', reasons: degraded };
    return { ready: true, state: 'ok', reasons };
  }

  /** What is wrong though `stored` is answered, by most lanes at least. */
  private degradations(): string[] {
    const reasons: string[] = [];
    this.parts.lanes.forEach((lane, i) => {
      if (lane.get(stat.pressure) === 1) reasons.push(`lane ${i} is above the soft disk mark`);
      const parked = lane.get(stat.parkedTopics);
      if (parked > 0) reasons.push(`lane ${i} has parked messages of ${parked} topics`);
      const full = lane.get(stat.asideFull);
      if ((full & 1) !== 0) reasons.push(`the undeliverable log of lane ${i} is full`);
      if ((full & 2) !== 0) reasons.push(`the parked log of lane ${i} is full`);
      if (lane.get(stat.laneState) === laneState.reopening) {
        reasons.push(`lane ${i} opens its store again after an error of the disk`);
      }
    });
    const { failure } = this.parts.catalog;
    if (failure !== undefined) reasons.push(`no new topics: ${failure.message}`);
    const reachable = this.parts.backend.reachable();
    if (!reachable.reachable) reasons.push(reachable.reason ?? 'backend away');
    reasons.push(...(this.parts.failover?.complaints ?? []));
    return reasons;
  }

  /** One map for people. */
  report(): Record<string, unknown> {
    const { manifest, version, config, clock, lanes } = this.parts;
    const server = this.parts.server();
    return {
      nodeId: manifest.nodeId,
      pid: process.pid,
      version,
      backend: manifest.backend,
      state: this.readiness().state,
      reasons: this.readiness().reasons,
      uptimeMs: Math.round(clock.monotonic() - this.startedMs),
      dataDir: config.dataDir,
      rssBytes: process.memoryUsage.rss(),
      connections: server?.connections ?? 0,
      inFlightMessages: server?.inFlightMessages ?? 0,
      lanes: lanes.map((lane, i) => laneReport(lane, i, clock.now())),
    };
  }
}

function laneReport(lane: LaneStats, index: number, nowMs: number): Record<string, unknown> {
  const oldest = lane.get(stat.outboxOldestMs);
  return {
    lane: index,
    state: LANE_STATES[lane.get(stat.laneState)],
    storeFailures: lane.get(stat.storeFailures),
    storedMessages: lane.get(stat.stored),
    sentMessages: lane.get(stat.sent),
    confirmedMessages: lane.get(stat.confirmed),
    duplicateMessages: lane.get(stat.duplicates),
    refusedMessages: lane.get(stat.refused),
    undeliverableMessages: lane.get(stat.undeliverableMessages),
    parkedMessages: lane.get(stat.parkedMessages),
    parkedTopics: lane.get(stat.parkedTopics),
    outboxMessages: lane.get(stat.outboxMessages),
    outboxBytes: lane.get(stat.outboxBytes),
    oldestMs: oldest === 0 ? 0 : Math.max(0, nowMs - oldest),
    deferredTopics: lane.get(stat.deferredTopics),
    diskFreeBytes: lane.get(stat.diskFreeBytes),
  };
}
