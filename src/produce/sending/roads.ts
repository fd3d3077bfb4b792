import type { Clock } from '../../base/clock.ts';
import type { ClusterNumber, SendPlan } from '../../lanes/lane-calls.ts';
import { Lag } from './lag.ts';
import type { Road } from './road.ts';

/** Verdicts of a cluster that is left are waited for so long, then what is out is taken back. */
const LEAVE_MS = 30_000;

/** What {@link Roads} ask and tell the lane that walks on them. */
export interface RoadsHooks {
  /** Where a topic begins that was never behind: nothing from here on was handed over. */
  end(): number;
  /** The plan is in force: there may be something to send. */
  onMoved(): void;
  /** What was stored before this sequence may have been sent by a former run, and who says so. */
  former(): { readonly until: number; readonly cause: string };
  readonly clock: Clock;
  /** So many topics are behind. */
  onBehind(topics: number): void;
}

/**
 * The roads of a lane, and what goes on which. One of them is the main one: the newest messages
 * go on it as they come. A topic that is behind, or goes elsewhere, has a place (a lag) on its
 * road, and is blocked for the newest messages.
 *
 * A topic changes its road only when nothing is on its way on the one it leaves: what was out came
 * back or is confirmed, so the other road carries on exactly where this one ended.
 */
export class Roads {
  readonly all: readonly Road[];
  /** By topic id: 1 while its newest messages must not go on the main road at once. */
  readonly blocked = new Uint8Array(65_536);
  private readonly hooks: RoadsHooks;
  private mainRoad: Road;
  private elsewhere = new Map<number, ClusterNumber>();
  private plan: SendPlan | undefined;

  constructor(all: readonly [Road, ...Road[]], hooks: RoadsHooks) {
    this.all = all;
    this.hooks = hooks;
    this.mainRoad = all[0];
  }

  get main(): Road {
    return this.mainRoad;
  }

  /** Topics that are behind or go elsewhere. */
  get behind(): number {
    let topics = 0;
    for (const road of this.all) topics += road.lags.size;
    return topics;
  }

  /** The road of a topic. */
  of(topic: number): Road {
    const cluster = this.elsewhere.get(topic);
    return (cluster === undefined ? undefined : this.all[cluster]) ?? this.mainRoad;
  }

  /** The clusters that messages of these topics go to now. */
  clustersOf(topics: readonly { readonly id: number }[]): ReadonlySet<ClusterNumber> {
    return new Set(topics.map(({ id }) => this.of(id).cluster));
  }

  /** The topic's place on its road; a new one stands at the end, and waits. */
  begin(topic: number, from = this.hooks.end()): Lag {
    const lag = this.of(topic).lags.begin(topic, from);
    this.blocked[topic] = 1;
    this.hooks.onBehind(this.behind);
    return lag;
  }

  /** The topic is not behind any more. */
  level(topic: number): void {
    this.blocked[topic] = 0;
    this.hooks.onBehind(this.behind);
  }

  /** Changes the roads as soon as nothing is on its way on those that are left. */
  setPlan(plan: SendPlan): void {
    this.plan = plan;
    const left = this.leftBy(plan);
    for (const road of this.all) {
      const isBroken = left.get(road);
      const isOpen = plan.isOpen[road.cluster];
      if (isBroken !== undefined) road.stop(isBroken || isOpen, () => this.move());
      else if (isOpen) road.stop(false, () => {});
    }
    this.move();
    if (this.plan !== plan) return;
    this.hooks.clock.setTimer(() => {
      // One partition that never answers must not hold everything.
      if (this.plan !== plan) return;
      for (const road of left.keys()) road.stop(true, () => this.move());
    }, LEAVE_MS);
  }

  private move(): void {
    const { plan } = this;
    if (plan === undefined) return;
    for (const road of this.leftBy(plan).keys()) if (!road.isIdle) return;
    this.plan = undefined;
    this.commit(plan);
    for (const road of this.all) {
      if (plan.isOpen[road.cluster]) road.stop(false, () => {});
      else road.go();
    }
    this.hooks.onBehind(this.behind);
    this.hooks.onMoved();
  }

  private commit({ main, elsewhere }: SendPlan): void {
    const lags: Lag[] = [];
    const roadsBefore = new Map<Lag, Road>();
    for (const road of this.all) {
      // Only an idle road knows where each message is that was to be sent alone.
      if (road.isIdle) road.giveAllBack();
      for (const lag of road.lags.takeAll()) {
        lags.push(lag);
        roadsBefore.set(lag, road);
      }
    }
    this.mainRoad = this.all[main] ?? this.mainRoad;
    this.elsewhere = new Map(elsewhere);
    this.blocked.fill(0);
    const known = new Set(lags.map(({ topic }) => topic));
    for (const topic of this.elsewhere.keys()) {
      if (!known.has(topic)) lags.push(new Lag(topic, this.hooks.end()));
    }
    for (const lag of lags) {
      const road = this.of(lag.topic);
      const before = roadsBefore.get(lag);
      if (before !== undefined && before !== road) lag.mayRepeat(this.hooks.former());
      lag.isGuest = road !== this.mainRoad;
      lag.missing = 0;
      road.lags.adopt(lag);
      this.blocked[lag.topic] = 1;
    }
  }

  /**
   * The roads that some topic leaves by the plan. True: a single topic is sent elsewhere from
   * there, because it is stuck, so its verdicts would never come.
   */
  private leftBy(plan: SendPlan): Map<Road, boolean> {
    const left = new Map<Road, boolean>();
    const next = new Map(plan.elsewhere);
    if (this.all[plan.main] !== this.mainRoad) left.set(this.mainRoad, false);
    for (const topic of new Set([...next.keys(), ...this.elsewhere.keys()])) {
      const road = this.of(topic);
      const to = this.all[next.get(topic) ?? plan.main];
      if (to === road) continue;
      const isSentAway = this.mainRoad === road && this.all[plan.main] === road;
      left.set(road, left.get(road) === true || isSentAway);
    }
    return left;
  }
}
