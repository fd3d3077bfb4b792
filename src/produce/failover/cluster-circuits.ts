import {
  type CircuitEvent,
  type CircuitState,
  type CircuitTimes,
  isGoodFor,
  newCircuit,
  stepCircuit,
} from './circuit.ts';

/** A topic that sent or confirmed something within so long counts as active, in ms. */
const ACTIVE_MS = 10_000;

/** Messages that come back are tried again after a second; two without any is an end of it. */
const FAILING_MS = 2_000;

/** How a topic fares on a cluster, as its producer counts. */
export interface TopicHealth {
  readonly topic: number;
  /** How long something of it is in flight with nothing confirmed; 0 when nothing is. */
  readonly waitingMs: number;
  /** Messages confirmed since the start. */
  readonly confirmed: number;
  /** Messages that came back by the cluster's fault. */
  readonly failed: number;
}

/** What {@link ClusterCircuits} are fed with. */
export type ClusterEvent =
  /** A look at every topic that was ever sent to. */
  | { readonly kind: 'look'; readonly topics: readonly TopicHealth[] }
  /**
   * The cluster was asked for its metadata; `tookMs` is how long that lasted. `sick` are topics
   * that cannot be written to, by what it says of them.
   */
  | {
      readonly kind: 'probe';
      readonly isAnswered: boolean;
      readonly tookMs: number;
      readonly sick: readonly number[];
    };

/** A circuit that changed. */
export interface CircuitChange {
  /** Absent: the cluster's. */
  readonly topic?: number;
  readonly isOpen: boolean;
  /** One clause. */
  readonly why: string;
}

interface TopicState {
  circuit: CircuitState;
  confirmed: number;
  failed: number;
  /** Since when messages came back and none was confirmed. */
  failingSinceMs: number | undefined;
  /** When it last had something in flight, or confirmed. */
  activeMs: number;
  /** Nothing of it is confirmed, though something is in flight or came back, for so long. */
  stuckMs: number;
  /** That is longer than it may be. */
  isStuck: boolean;
}

/**
 * The circuits of one cluster: one for each topic, and one for the cluster, which opens when at
 * least half of the active topics are stuck, or when it does not answer and confirms nothing. Says
 * what changed; does nothing by itself, and reads no clock.
 */
export class ClusterCircuits {
  private readonly times: CircuitTimes;
  private cluster: CircuitState;
  private readonly topics = new Map<number, TopicState>();
  private sick: ReadonlySet<number> = new Set();
  private heardMs: number;

  /** `isProven` false: it begins open, and closes when it has answered for a while. */
  constructor(times: CircuitTimes, nowMs: number, isProven: boolean) {
    this.times = times;
    this.cluster = newCircuit(nowMs, times, !isProven);
    this.heardMs = nowMs;
  }

  get isOpen(): boolean {
    return this.cluster.isOpen;
  }

  /** State of the cluster's circuit. */
  get state(): CircuitState {
    return this.cluster;
  }

  /** Topics whose circuit is open. */
  get openTopics(): number[] {
    const open: number[] = [];
    for (const [topic, { circuit }] of this.topics) if (circuit.isOpen) open.push(topic);
    return open;
  }

  isTopicOpen(topic: number): boolean {
    return this.topics.get(topic)?.circuit.isOpen === true;
  }

  /** Whether it may be used now when there is no other: it has answered for a while. */
  isUsableAlone(nowMs: number): boolean {
    return isGoodFor(this.cluster, this.times.openAfterMs, nowMs);
  }

  step(event: ClusterEvent, nowMs: number): CircuitChange[] {
    const changes: CircuitChange[] = [];
    if (event.kind === 'look') this.look(event.topics, nowMs, changes);
    else this.probed(event, nowMs, changes);
    return changes;
  }

  private look(found: readonly TopicHealth[], nowMs: number, changes: CircuitChange[]): void {
    let active = 0;
    let stuck = 0;
    let isAnyStuck = false;
    for (const health of found) {
      const state = this.see(health, nowMs);
      if (nowMs - state.activeMs > ACTIVE_MS) continue;
      active++;
      if (state.isStuck) isAnyStuck = true;
      // They do not get stuck in the same moment: what is half on its way there counts. Nothing is
      // sent to what is open, so it does not get stuck; while the cluster is closed it counts too.
      const isSuspect = state.stuckMs * 2 >= this.times.openAfterMs;
      if (isSuspect || (state.circuit.isOpen && !this.cluster.isOpen)) stuck++;
      if (state.isStuck) {
        const forMs = state.stuckMs;
        const why = `nothing was confirmed for ${seconds(forMs)} s`;
        this.stepTopic(health.topic, { kind: 'bad', forMs }, nowMs, why, changes);
      }
    }
    if (isAnyStuck && stuck * 2 >= active) {
      const why = `${stuck} of ${active} active topics are stuck`;
      this.stepCluster({ kind: 'bad', forMs: this.times.openAfterMs }, nowMs, why, changes);
    }
  }

  private see({ topic, waitingMs, confirmed, failed }: TopicHealth, nowMs: number): TopicState {
    const state = this.topics.get(topic) ?? this.meet(topic, confirmed, failed, nowMs);
    const isConfirmed = confirmed > state.confirmed;
    const isFailed = failed > state.failed;
    if (waitingMs > 0 || isConfirmed || isFailed) state.activeMs = nowMs;
    // What is confirmed proves more than what a probe says.
    if (isConfirmed) this.heardMs = nowMs;
    if (isConfirmed) state.failingSinceMs = undefined;
    else if (isFailed) state.failingSinceMs ??= nowMs;
    // What failed and is not tried again says nothing after a while.
    else if (nowMs - state.activeMs > FAILING_MS) state.failingSinceMs = undefined;
    state.confirmed = confirmed;
    state.failed = failed;
    const failingMs = state.failingSinceMs === undefined ? 0 : nowMs - state.failingSinceMs;
    state.stuckMs = Math.max(waitingMs, failingMs);
    state.isStuck = state.stuckMs >= this.times.openAfterMs;
    return state;
  }

  private meet(topic: number, confirmed: number, failed: number, nowMs: number): TopicState {
    const state = {
      circuit: newCircuit(nowMs, this.times),
      confirmed,
      failed,
      failingSinceMs: undefined,
      activeMs: Number.NEGATIVE_INFINITY,
      stuckMs: 0,
      isStuck: false,
    };
    this.topics.set(topic, state);
    return state;
  }

  private probed(
    { isAnswered, tookMs, sick }: Extract<ClusterEvent, { kind: 'probe' }>,
    nowMs: number,
    changes: CircuitChange[],
  ): void {
    if (!isAnswered) {
      const forMs = Math.max(tookMs, nowMs - this.heardMs);
      const why = `it has not answered for ${seconds(forMs)} s`;
      this.stepCluster({ kind: 'bad', forMs }, nowMs, why, changes);
      for (const topic of this.openTopics) {
        this.stepTopic(topic, { kind: 'bad', forMs }, nowMs, why, changes);
      }
      return;
    }
    this.heardMs = nowMs;
    this.sick = new Set(sick);
    const wasOpen = this.cluster.isOpen;
    this.stepCluster({ kind: 'good' }, nowMs, 'it answers', changes);
    for (const topic of this.openTopics) {
      const state = this.topics.get(topic);
      const isSick = this.sick.has(topic) || state?.isStuck === true;
      if (wasOpen && !this.cluster.isOpen && !isSick && state !== undefined) {
        // Trusted together with its cluster.
        state.circuit = { ...state.circuit, goodSinceMs: nowMs - state.circuit.closeAfterMs };
      }
      const event: CircuitEvent = isSick ? { kind: 'bad', forMs: 0 } : { kind: 'good' };
      this.stepTopic(topic, event, nowMs, 'it can be written to', changes);
    }
  }

  private stepTopic(
    topic: number,
    event: CircuitEvent,
    nowMs: number,
    why: string,
    changes: CircuitChange[],
  ): void {
    const state = this.topics.get(topic);
    if (state === undefined) return;
    const { isOpen } = state.circuit;
    state.circuit = stepCircuit(state.circuit, event, nowMs, this.times);
    if (state.circuit.isOpen !== isOpen) changes.push({ topic, isOpen: !isOpen, why });
  }

  private stepCluster(
    event: CircuitEvent,
    nowMs: number,
    why: string,
    changes: CircuitChange[],
  ): void {
    const { isOpen } = this.cluster;
    this.cluster = stepCircuit(this.cluster, event, nowMs, this.times);
    if (this.cluster.isOpen !== isOpen) changes.push({ isOpen: !isOpen, why });
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
