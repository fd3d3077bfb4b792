import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ClusterNumber, SendPlan } from '../../lanes/lane-calls.ts';
import { HEALTH, HEALTH_COLUMNS } from '../../native/kafka.ts';
import type { CircuitTimes } from './circuit.ts';
import { type ClusterUse, planOf } from './cluster-choice.ts';
import { type CircuitChange, ClusterCircuits, type TopicHealth } from './cluster-circuits.ts';

/** How often the producers' counts are looked at, and the clusters asked, in ms. */
const LOOK_MS = 250;
const PROBE_MS = 1_000;
/** After so many probes without an answer a fresh instance may see what the old one does not. */
const RENEW_PROBES = 5;

/** One cluster as {@link Failover} sees it. */
export interface ClusterSide {
  readonly name: 'primary' | 'backup';
  /** Rows of `KafkaProducer.health`. */
  health(): Float64Array;
  /**
   * Asks the cluster. Answers those of `topics` that cannot be written to, by what it says of
   * them; rejects when it does not answer.
   */
  probe(topics: readonly number[]): Promise<readonly number[]>;
  /**
   * Gives up the producer's instance for a new one. Only while no lane sends on it.
   * @throws when no new one can be made; the old one stays
   */
  renew(): void;
}

/** Who set {@link ClusterUse}, and when. */
export interface UseSetting {
  readonly use: ClusterUse;
  /** The name of the token, or what stands for it; absent when nobody ever did. */
  readonly setBy?: string;
  /** Milliseconds since 1970. */
  readonly setAtMs?: number;
}

/** Parts of {@link Failover}. */
export interface FailoverParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly sides: readonly [primary: ClusterSide, backup: ClusterSide];
  readonly times: CircuitTimes;
  readonly setting: UseSetting;
  /** Ids of topics whose policy is to wait. */
  waiting(): Iterable<number>;
  nameOf(topic: number): string;
  /** Brings a plan to all lanes. */
  apply(plan: SendPlan): Promise<void>;
  /** Keeps a setting over restarts. @throws when it is not on the disk */
  keep(setting: UseSetting): void;
}

/** What `mqproxy cluster status` shows. */
export interface ClusterReport extends Record<string, unknown> {
  readonly inUse: 'primary' | 'backup';
}

/**
 * Decides, for all lanes of a node, which cluster gets what: watches both, keeps their circuits,
 * and tells the lanes when the plan changes.
 */
export class Failover {
  private readonly parts: FailoverParts;
  private readonly circuits: readonly [ClusterCircuits, ClusterCircuits];
  private readonly timers = new Set<Timer>();
  private setting: UseSetting;
  private plan: SendPlan = { main: 0, isOpen: [false, true], elsewhere: [] };
  private applying: Promise<void> = Promise.resolve();
  private readonly reasons = ['', 'it was not asked yet'];
  private readonly silentProbes: [number, number] = [0, 0];
  private changes = 0;
  private openings: [number, number] = [0, 0];
  private changedAtMs: number | undefined;
  private isClosed = false;

  constructor(parts: FailoverParts) {
    const { clock, times } = parts;
    this.parts = parts;
    this.setting = parts.setting;
    const nowMs = clock.monotonic();
    // The backup must only be well now to be better than a primary that is not.
    const soon = { ...times, closeAfterMs: Math.min(times.closeAfterMs, times.openAfterMs) };
    this.circuits = [
      new ClusterCircuits(times, nowMs, true),
      new ClusterCircuits({ ...soon, closeAfterMsMax: soon.closeAfterMs }, nowMs, false),
    ];
  }

  /** The first plan is with the lanes when it resolves; from then on both are watched. */
  async start(): Promise<void> {
    if (this.setting.use === 'backup') this.plan = { ...this.plan, main: 1 };
    this.plan = this.next();
    await this.parts.apply(this.plan);
    this.every(LOOK_MS, () => this.look());
    for (const cluster of [0, 1] as const) this.probeSoon(cluster, 0);
  }

  /** Switches by hand, or back to automatic; kept over restarts. */
  async use(use: ClusterUse, setBy: string): Promise<void> {
    const setting = { use, setBy, setAtMs: this.parts.clock.now() };
    this.parts.keep(setting);
    this.setting = setting;
    this.parts.log.warn({ use, setBy }, 'the cluster to use was set');
    this.decide(`set by ${setBy}`);
    await this.applying;
  }

  close(): void {
    this.isClosed = true;
    for (const timer of this.timers) timer.cancel();
  }

  /** Why the node is not as well as it could be; empty when it is. */
  get complaints(): string[] {
    const { setting, plan } = this;
    const found: string[] = [];
    if (this.circuits[0].isOpen)
      found.push(`the primary cluster is out of order: ${this.reasons[0]}`);
    if (this.circuits[1].isOpen)
      found.push(`the backup cluster is out of order: ${this.reasons[1]}`);
    if (plan.main === 1) found.push('messages go to the backup cluster');
    if (plan.isOpen[plan.main]) found.push('messages are held: no cluster takes them');
    const elsewhere = plan.elsewhere.length;
    if (elsewhere > 0) found.push(`${elsewhere} topic(s) go elsewhere or wait`);
    if (setting.use !== 'auto') found.push(`the cluster to use was set to ${setting.use} by hand`);
    return found;
  }

  report(): ClusterReport {
    const { clock, sides, nameOf } = this.parts;
    const nowMs = clock.monotonic();
    const ago = (ms: number): number => clock.now() - Math.round(nowMs - ms);
    return {
      inUse: sides[this.plan.main].name,
      use: this.setting.use,
      setBy: this.setting.setBy ?? null,
      setAtMs: this.setting.setAtMs ?? null,
      switches: this.changes,
      changedAtMs: this.changedAtMs ?? null,
      clusters: sides.map(({ name }, i) => {
        const circuits = this.circuits[i as ClusterNumber];
        const { isOpen, sinceMs, goodSinceMs, closeAfterMs } = circuits.state;
        return {
          cluster: name,
          circuit: isOpen ? 'open' : 'closed',
          sinceMs: ago(sinceMs),
          openings: this.openings[i as ClusterNumber],
          why: isOpen ? (this.reasons[i] ?? '') : '',
          trustedInMs:
            isOpen && goodSinceMs !== undefined
              ? Math.max(0, Math.round(closeAfterMs - (nowMs - goodSinceMs)))
              : null,
          openTopics: circuits.openTopics.map(nameOf),
        };
      }),
      elsewhere: this.plan.elsewhere.map(([topic, cluster]) => ({
        topic: nameOf(topic),
        cluster: sides[cluster].name,
      })),
    };
  }

  /** Numbers for the metrics. */
  get numbers(): { inUse: ClusterNumber; isOpen: readonly boolean[]; switches: number } {
    const [primary, backup] = this.circuits;
    const isOpen = [primary.isOpen, backup.isOpen];
    return { inUse: this.plan.main, isOpen, switches: this.changes };
  }

  private look(): void {
    for (const cluster of [0, 1] as const) {
      const rows = this.parts.sides[cluster].health();
      const topics: TopicHealth[] = [];
      for (let at = 0; at < rows.length; at += HEALTH_COLUMNS) {
        topics.push({
          topic: rows[at + HEALTH.topicId] as number,
          waitingMs: rows[at + HEALTH.waitingMs] as number,
          confirmed: rows[at + HEALTH.confirmed] as number,
          failed: rows[at + HEALTH.failed] as number,
        });
      }
      const nowMs = this.parts.clock.monotonic();
      this.note(cluster, this.circuits[cluster].step({ kind: 'look', topics }, nowMs));
    }
    this.decide();
  }

  private async probe(cluster: ClusterNumber): Promise<void> {
    const { clock, sides } = this.parts;
    const from = clock.monotonic();
    const asked = this.circuits[cluster].openTopics;
    let isAnswered = true;
    let sick: readonly number[] = [];
    try {
      sick = await sides[cluster].probe(asked);
    } catch (error) {
      isAnswered = false;
      this.reasons[cluster] = messageOf(error);
    }
    if (this.isClosed) return;
    const nowMs = clock.monotonic();
    const event = { kind: 'probe', isAnswered, tookMs: nowMs - from, sick } as const;
    this.note(cluster, this.circuits[cluster].step(event, nowMs));
    this.decide();
    this.silentProbes[cluster] = isAnswered ? 0 : this.silentProbes[cluster] + 1;
    const isLong = this.silentProbes[cluster] >= RENEW_PROBES;
    if (isLong && this.plan.isOpen[cluster]) {
      this.silentProbes[cluster] = 0;
      this.renew(cluster);
    }
    this.probeSoon(cluster, Math.max(0, PROBE_MS - (nowMs - from)));
  }

  /** A new instance cannot always be made: a key file is being replaced, no descriptor is left. */
  private renew(cluster: ClusterNumber): void {
    const side = this.parts.sides[cluster];
    try {
      side.renew();
    } catch (error) {
      const what = { cluster: side.name, reason: messageOf(error) };
      this.parts.log.error(what, 'the Kafka producer could not be renewed');
    }
  }

  private note(cluster: ClusterNumber, changes: readonly CircuitChange[]): void {
    const { log, sides, nameOf } = this.parts;
    for (const { topic, isOpen, why } of changes) {
      const words = { cluster: sides[cluster].name, why };
      const of = topic === undefined ? words : { ...words, topic: nameOf(topic) };
      if (isOpen) log.warn(of, 'circuit opened');
      else log.info(of, 'circuit closed');
      if (topic !== undefined) continue;
      this.reasons[cluster] = isOpen ? why : '';
      if (isOpen) this.openings[cluster]++;
    }
  }

  private next(): SendPlan {
    const { circuits, setting, plan } = this;
    const nowMs = this.parts.clock.monotonic();
    return planOf({
      use: setting.use,
      main: plan.main,
      circuits,
      waiting: this.parts.waiting(),
      nowMs,
    });
  }

  private decide(why = ''): void {
    const before = this.plan;
    const plan = this.next();
    if (JSON.stringify(plan) === JSON.stringify(before)) return;
    this.plan = plan;
    if (plan.main !== before.main) {
      this.changes++;
      this.changedAtMs = this.parts.clock.now();
      const name = this.parts.sides[plan.main].name;
      this.parts.log.warn({ why: why || this.reasons[before.main] }, `messages go to the ${name}`);
    }
    this.applying = this.applying
      .then(() => this.parts.apply(plan))
      .catch((error: unknown) => {
        this.parts.log.error({ reason: messageOf(error) }, 'a lane did not take the plan');
      });
  }

  private probeSoon(cluster: ClusterNumber, delayMs: number): void {
    this.after(delayMs, () => void this.probe(cluster));
  }

  private every(ms: number, task: () => void): void {
    this.after(ms, () => {
      task();
      this.every(ms, task);
    });
  }

  private after(ms: number, task: () => void): void {
    if (this.isClosed) return;
    const timer = this.parts.clock.setTimer(() => {
      this.timers.delete(timer);
      task();
    }, ms);
    this.timers.add(timer);
  }
}
