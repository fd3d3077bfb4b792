import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clientSettings } from './backend/kafka/kafka-settings.ts';
import type { Logger } from './base/log.ts';
import type { Config } from './config/schema.ts';
import { inlineLane } from './lanes/inline-lane.ts';
import type { ClusterNumber, LaneEvent, SendPlan } from './lanes/lane-calls.ts';
import { LaneLink, type LaneLinkHooks } from './lanes/lane-link.ts';
import { workerLane } from './lanes/worker-lane.ts';
import type { NodeManifest } from './node-manifest.ts';
import {
  backupSettings,
  KAFKA_BACKUP,
  KAFKA_PRIMARY,
  kafkaSettings,
  marksOf,
} from './node-settings.ts';
import { LaneStats, laneState, stat } from './produce/intake/lane-stats.ts';
import type { LaneOptions } from './produce/lane-options.ts';
import { createLaneService } from './produce/lane-service.ts';

/** What {@link NodeLanes} tell the node. */
export interface NodeLanesHooks extends Pick<LaneLinkHooks, 'onAnswers'> {
  /** The lane takes messages again. */
  onRoom(lane: LaneLink): void;
  /** The connection broke the protocol. */
  onFatal(session: number, code: number): void;
  onTopicMissing(topic: number, name: string, cluster: ClusterNumber): void;
  /** The lane is out of service: its disk failed twice, or its thread has ended. */
  onOut(lane: LaneLink): void;
}

/** All lanes of the node: started, asked and ended together. */
export class NodeLanes {
  readonly links: LaneLink[] = [];
  readonly stats: LaneStats[] = [];
  private readonly whyOut: string[] = [];
  private readonly config: Config;
  private readonly manifest: NodeManifest;
  private readonly log: Logger;
  private readonly hooks: NodeLanesHooks;

  constructor(config: Config, manifest: NodeManifest, log: Logger, hooks: NodeLanesHooks) {
    this.config = config;
    this.manifest = manifest;
    this.log = log;
    this.hooks = hooks;
  }

  /** Messages that wait to be sent. */
  get waiting(): number {
    return this.stats.reduce((sum, lane) => sum + lane.get(stat.outboxMessages), 0);
  }

  /** In words for people, once a lane is out of service. */
  outBecause(lane: number): string {
    return this.whyOut[lane] ?? '';
  }

  /** Opens and proves the stores. Lanes take messages from now on; see {@link startSending}. */
  async start(): Promise<void> {
    const { config, manifest, hooks } = this;
    const worker = fileURLToPath(new URL('./produce/lane-worker.js', import.meta.url));
    for (let lane = 0; lane < manifest.lanes; lane++) this.stats.push(new LaneStats());
    const allStats = this.stats.map(({ memory }) => memory);
    for (const [lane, stats] of allStats.entries()) {
      const linkHooks: LaneLinkHooks = {
        onAnswers: hooks.onAnswers,
        onRoom: () => hooks.onRoom(link),
        onEvent: (event) => this.onEvent(lane, event),
      };
      const link = new LaneLink(config.lane.ringBytes, stats, linkHooks, allStats);
      this.links.push(link);
      const options = this.optionsOf(lane);
      const isInline = config.lane.host === 'inline';
      await link.start(
        isInline ? inlineLane(createLaneService, options) : workerLane(worker, options),
      );
    }
  }

  /** The topics are known: what a former run left may be sent. */
  async startSending(): Promise<void> {
    await Promise.all(this.links.map((lane) => lane.call('startSending')));
  }

  /** What goes to which cluster from now on. */
  async setPlan(plan: SendPlan): Promise<void> {
    await Promise.all(this.links.map((lane) => lane.call('setPlan', plan)));
  }

  /** Takes over the quotas and the log level of a configuration that was read again. */
  async reload(config: Config): Promise<void> {
    const marks = marksOf(config);
    const { logLevel } = config;
    await Promise.all(
      this.links.map(async (lane) => {
        await lane.call('setMarks', marks);
        await lane.call('setLogLevel', logLevel);
      }),
    );
  }

  /** New messages are refused with `DRAINING` from now on. */
  async refuseNew(): Promise<void> {
    await Promise.all(this.links.map((lane) => lane.call('refuseNew')));
  }

  /** Resolves when everything that came in was stored and answered. */
  async drain(): Promise<void> {
    await Promise.all(this.links.map((lane) => lane.call('drain')));
  }

  /** Waits for the backend's verdicts. False when the time went by before the last. */
  async flush(timeoutMs: number): Promise<boolean> {
    const done = await Promise.all(this.links.map((lane) => lane.call('flush', timeoutMs)));
    return !done.includes(false);
  }

  /** Gives up what waits in all lanes for a topic that is gone; answers the messages. */
  async dropTopic(id: number): Promise<number> {
    const dropped = await Promise.all(this.links.map((lane) => lane.call('dropTopic', id)));
    return dropped.reduce((sum, messages) => sum + messages, 0);
  }

  /** Closes the stores and ends the threads. */
  async close(): Promise<void> {
    for (const lane of this.links) {
      // A lane that never started has nothing to close.
      await lane.close().catch(() => {});
    }
  }

  private optionsOf(lane: number): LaneOptions {
    const { config, manifest } = this;
    const { retention } = config.log;
    const embedded = {
      retentionMs: retention.ms === 'off' ? undefined : retention.ms,
      retentionBytes: retention.bytes === 'off' ? undefined : retention.bytes,
      allowDegradedAck: config.allowDegradedAck,
    };
    const kafka = { key: KAFKA_PRIMARY, config: clientSettings(kafkaSettings(config)).producer };
    const second = backupSettings(config);
    const backup =
      second === undefined
        ? undefined
        : { key: KAFKA_BACKUP, config: clientSettings(second).producer };
    return {
      lane,
      folder: join(config.dataDir, 'lanes', String(lane)),
      dataDir: config.dataDir,
      nodeId: Buffer.from(manifest.nodeId, 'hex'),
      batchBytesMax: config.lane.batchBytesMax,
      messageBytesMax: config.limits.messageBytesMax,
      keyBytesMax: config.limits.keyBytesMax,
      headersBytesMax: config.limits.headersBytesMax,
      marks: marksOf(config),
      logLevel: config.logLevel,
      ...(manifest.backend === 'kafka' ? { kafka, backup } : { embedded }),
    };
  }

  private onEvent(lane: number, event: LaneEvent): void {
    const { hooks } = this;
    if (event.kind === 'fatal') hooks.onFatal(event.session, event.code);
    else if (event.kind === 'pressure') {
      const { pressure } = event;
      this.log.warn({ lane, pressure }, 'disk pressure');
      // At the hard mark TCP holds the senders of this lane back, and nobody else.
      this.links[lane]?.setHeld(pressure === 'hard');
    } else if (event.kind === 'topicMissing')
      hooks.onTopicMissing(event.topic, event.name, event.cluster);
    else this.leave(lane, event);
  }

  /** The lane is out of service: the others go on. */
  private leave(lane: number, { cause, code, message }: Extract<LaneEvent, { kind: 'out' }>): void {
    this.whyOut[lane] =
      cause === 'disk'
        ? 'its disk failed: look at the disk, then start the node again'
        : `its thread ended (${code}: ${message}): start the node again`;
    this.stats[lane]?.set(stat.laneState, laneState.out);
    const words = cause === 'disk' ? '' : 'its thread ended: ';
    process.stderr.write(`mqproxy: lane ${lane} is out of service: ${words}${code}: ${message}\n`);
    const link = this.links[lane];
    if (link !== undefined) this.hooks.onOut(link);
    this.stats[lane]?.set(stat.pressure, 0);
  }
}
