import type { Cluster } from './backend/consumer-port.ts';
import { systemClock } from './base/clock.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import { DelayDesk } from './delay/delay-desk.ts';
import { delayLevels } from './delay/levels.ts';
import { SeriesDesk } from './delay/series-desk.ts';
import type { DelayReport } from './http/delay-metrics.ts';
import { NodeDelay, type NodeDelayParts } from './node-delay.ts';

/** What {@link NodeDelays} needs. */
export interface NodeDelaysParts extends Omit<NodeDelayParts, 'ports' | 'onTaken' | 'onRefused'> {
  /** Of each cluster, the primary first; none: the role is off. */
  readonly ports: readonly ClusterPorts[];
  /** Where messages go to now. */
  inUse(): Cluster;
}

const levelsMs = delayLevels.map(({ durationMs }) => durationMs);

/** Delayed messages of a node, over its clusters. */
export class NodeDelays {
  /** Undefined: the role is off. */
  readonly desk: DelayDesk | undefined;
  readonly series: SeriesDesk | undefined;
  readonly #parts: NodeDelaysParts;
  readonly #all: readonly NodeDelay[];
  /** The node topic id of the delay log; 0 until it is open on some cluster. */
  #topic = 0;

  constructor(parts: NodeDelaysParts) {
    this.#parts = parts;
    this.#all = parts.ports.map(
      (ports) =>
        new NodeDelay({
          ...parts,
          ports,
          onTaken: (topic) => {
            this.#topic = topic;
            return this.#tell();
          },
          onRefused: () => this.#tell(),
        }),
    );
    if (this.#all.length === 0) return;
    this.desk = new DelayDesk(this.#all, systemClock);
    this.series = new SeriesDesk(this.#all, () => parts.inUse());
  }

  /** Each tries once, and goes on in the background while its cluster does not answer. */
  async open(): Promise<void> {
    await Promise.all(this.#all.map((delay) => delay.open()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((delay) => delay.close()));
  }

  /** The delay log of a cluster; undefined while delayed messages are not taken there. */
  log(cluster: number): string | undefined {
    return this.#all.find(({ number }) => number === cluster)?.log;
  }

  /** Numbers for the metrics, of each cluster. */
  reports(): readonly DelayReport[] {
    return this.#all.map((delay) => delay.report());
  }

  /**
   * The lanes take delayed messages when a delay log is as it must be, and none was refused: a
   * message may go to any of them, and what goes to one that keeps less would be lost.
   */
  async #tell(): Promise<void> {
    const topic = this.#all.some(({ isRefused }) => isRefused) ? 0 : this.#topic;
    const { links } = this.#parts.lanes;
    await Promise.all(links.map((lane) => lane.call('setDelay', { topic, levelsMs })));
  }
}
