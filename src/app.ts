import { join } from 'node:path';
import { ErrorCode } from '../protocol/src/generated.ts';
import { ProtocolError } from '../protocol/src/protocol-error.ts';
import type { Backend } from './backend/port.ts';
import { systemClock } from './base/clock.ts';
import { coded } from './base/errors.ts';
import { limits as bounds } from './base/limits.ts';
import { createLogger, type Logger } from './base/log.ts';
import { systemRandom } from './base/random.ts';
import { FileCatalog } from './catalog/file-catalog.ts';
import { formatAddress, isLoopback, parseAddress } from './config/address.ts';
import { reloaded } from './config/reload.ts';
import type { Config } from './config/schema.ts';
import { AdminServer } from './http/admin-server.ts';
import { NodeMetrics } from './http/node-metrics.ts';
import { MemoryKeeper } from './memory-keeper.ts';
import { giveBackMemory } from './native/addon.ts';
import type { NodeBackend } from './node-backend.ts';
import { type NodeConsume, openNodeConsume } from './node-consume.ts';
import { NodeDelays } from './node-delays.ts';
import { NodeLanes } from './node-lanes.ts';
import {
  makeDataDir,
  type NodeManifest,
  openDataDir,
  readManifest,
  writeManifest,
} from './node-manifest.ts';
import {
  largestMessage,
  packageVersion,
  rateLimits,
  readTls,
  readTokens,
  sessionLimits,
  tailBytesMax,
} from './node-settings.ts';
import { openNodeBackend } from './open-node-backend.ts';
import type { NodeContext } from './server/handler.ts';
import { MqpServer } from './server/mqp-server.ts';
import { NodeStatus } from './server/node-status.ts';
import { NodeTopics } from './server/node-topics.ts';
import { TokenRates } from './server/token-rates.ts';
import { type Access, fullAccess, type Tokens } from './server/tokens.ts';
import { finishRelane } from './store/relane.ts';

/** Longest wait for Kafka's verdicts at the end, in ms. */
const FLUSH_MS = 5_000;
/** A node that serves. */
export interface RunningNode {
  /** One line for stdout: addresses, backend, and what an answer guarantees. */
  readonly readyLine: string;
  readonly mqp: { readonly host: string; readonly port: number };
  readonly admin: { readonly host: string; readonly port: number };
  /**
   * Takes over the settings that are marked for it; of others that changed a line of the log tells.
   * @throws CONFIG_INVALID for a file that cannot be read, and nothing is taken over
   */
  reload(config: Config): Promise<void>;
  /** Drains: tells clients, answers what is in flight, closes the stores. */
  close(): Promise<void>;
}

/** Starts a node: opens and proves its stores, then listens. */
export async function startNode(config: Config): Promise<RunningNode> {
  const log = createLogger(config.logLevel);
  const { dataDir } = config;
  const isOpen = makeDataDir(dataDir);
  if (isOpen !== undefined) log.warn(isOpen);
  await finishRelane({
    dataDir,
    setLanes: (lanes) => void writeManifest(dataDir, { ...readManifest(dataDir), lanes }),
  });
  const manifest = openDataDir(dataDir, config, systemRandom);
  const node = new Node(config, manifest, log);
  try {
    await node.start();
  } catch (error) {
    await node.abandon();
    throw error;
  }
  return node;
}

class Node implements RunningNode {
  readyLine = '';
  mqp = { host: '', port: 0 };
  admin = { host: '', port: 0 };
  private config: Config;
  private readonly manifest: NodeManifest;
  private readonly log: Logger;
  private readonly lanes: NodeLanes;
  private tokens: Tokens | undefined;
  private backend: NodeBackend | undefined;
  private server: MqpServer | undefined;
  private adminServer: AdminServer | undefined;
  private status: NodeStatus | undefined;
  private topics: NodeTopics | undefined;
  private consume: NodeConsume | undefined;
  private delays: NodeDelays | undefined;
  private readonly memory = new MemoryKeeper({
    clock: systemClock,
    rss: () => process.memoryUsage.rss(),
    giveBack: giveBackMemory,
  });
  private closing = false;
  private readonly rates: TokenRates;

  constructor(config: Config, manifest: NodeManifest, log: Logger) {
    this.rates = new TokenRates(systemClock, rateLimits(config));
    this.config = config;
    this.manifest = manifest;
    this.log = log;
    this.lanes = new NodeLanes(config, manifest, log, {
      onAnswers: (session, messages, bytes, start, end) =>
        this.server?.answer(session, messages, bytes, start, end),
      onRoom: (lane) => this.server?.roomAgain(lane),
      onFatal: (session, code) => this.server?.closeFor(session, code),
      onTopicMissing: (...missing) => this.backend?.topicMissing(...missing),
      onOut: (lane) => this.server?.closeLane(lane, ErrorCode.LANE_OUT),
    });
  }

  async start(): Promise<void> {
    const { config, manifest, log, lanes } = this;
    this.tokens = readTokens(config);
    const tls = readTls(config);
    const catalog = await FileCatalog.open(join(config.dataDir, 'topics.json'), systemClock);
    await lanes.start();
    const onTopic = (name: string): void => void this.topics?.refresh(name);
    const parts = { config, manifest, catalog, lanes, log, onTopic };
    this.backend = await openNodeBackend(parts);
    const { backend, clusters, delayPorts, failover } = this.backend;
    const delayLog = (cluster: number): string | undefined => this.delays?.log(cluster);
    const consume = openNodeConsume({ config, manifest, log, clusters, backend, delayLog });
    this.consume = consume;
    const topics = new NodeTopics({
      backend,
      catalog,
      lanes: lanes.links,
      autoCreate: config.topics.autoCreate,
      messageBytesMax: (batchBytesMax) => largestMessage(config, manifest.backend, batchBytesMax),
      idHeader: (name) => config.topics.overrides[name]?.idHeader ?? true,
      isPatient: (name) => config.topics.overrides[name]?.failover === 'wait',
    });
    this.topics = topics;
    await topics.restore();
    const inUse = () => failover?.numbers.inUse ?? 0;
    const of = { config, manifest, log, lanes, topics, catalog };
    this.delays = new NodeDelays({ ...of, ports: delayPorts, inUse });
    const opening = this.delays.open();
    // Kafka is not waited for.
    if (backend.kind === 'embedded') await opening;
    const version = packageVersion();
    const status = new NodeStatus({
      manifest,
      version,
      config,
      backend,
      lanes: lanes.stats,
      clock: systemClock,
      catalog,
      server: () => this.server?.stats(),
      isDraining: () => this.closing,
      outBecause: (lane) => lanes.outBecause(lane),
      failover,
    });
    this.status = status;
    const server = new MqpServer(this.context({ backend, topics, status, version }), {
      limits: { ...bounds, ...sessionLimits(config) },
      connectionsMax: config.limits.connections,
      globalInFlightBytesMax: config.limits.globalInFlightBytesMax,
      tls,
      rates: this.rates,
    });
    this.server = server;
    const metrics = new NodeMetrics({
      lanes: lanes.stats,
      server: () => server.stats(),
      topics: () => catalog.list(''),
      backendReachable: () => backend.reachable().reachable,
      deadLetters: consume.deadLetters.settler,
      clusters: () => this.backend?.failover?.numbers,
      consume: () => consume.engine,
      delays: () => this.delays?.reports() ?? [],
    });
    this.adminServer = new AdminServer({
      readiness: () => status.readiness(),
      metrics: () => metrics.text(),
      status: () => status.report(),
      cluster: () => this.backend?.failover?.report(),
    });
    await this.backend.check();
    await lanes.startSending();
    this.mqp = await server.listen(parseAddress(config.listen));
    this.admin = await this.adminServer.listen(parseAddress(config.admin.listen));
    this.readyLine = this.describe();
    this.warn();
    log.info({ nodeId: manifest.nodeId, lanes: manifest.lanes }, 'ready');
  }

  async reload(read: Config): Promise<void> {
    const { config, waiting } = reloaded(this.config, read);
    // Both are read before either is taken: a bad file changes nothing.
    // What was taken out waits for a restart, and its files may be gone.
    const tokens = read.auth.mechanism === 'none' ? this.tokens : readTokens(config);
    const tls = read.tls.cert === undefined ? undefined : readTls(config);
    this.tokens = tokens;
    if (tls !== undefined) this.server?.setTls(tls);
    this.log.level = config.logLevel;
    this.rates.setLimits(rateLimits(config));
    await this.lanes.reload(config);
    this.config = config;
    this.log.info('tokens, TLS files, quotas and log level were read again');
    if (waiting.length > 0) {
      this.log.warn({ settings: waiting }, 'these settings have changed, and wait for a restart');
    }
  }

  async close(): Promise<void> {
    this.closing = true;
    const { drainTimeout } = this.config.limits;
    const until = systemClock.monotonic() + drainTimeout;
    await this.lanes.refuseNew();
    const handedOver = this.consume?.close();
    const whole = await this.server?.drain(drainTimeout);
    if (whole === false) this.log.warn('the drain ended before everything was answered');
    await handedOver;
    await this.lanes.drain();
    await this.flush(until - systemClock.monotonic());
    await this.abandon();
  }

  /** What is on its way to Kafka is waited for: it would be sent again by the next start. */
  private async flush(timeoutMs: number): Promise<void> {
    const backend = this.backend?.backend;
    if (backend?.kind !== 'kafka' || !backend.reachable().reachable) return;
    const done = await this.lanes.flush(Math.max(0, Math.min(timeoutMs, FLUSH_MS)));
    if (!done) this.log.info('messages wait in the outbox for the next start');
  }

  /** Ends what was started, without waiting for clients. */
  async abandon(): Promise<void> {
    this.closing = true;
    this.memory.close();
    // First: connections that end later would ask what is closed already.
    await this.server?.close();
    await this.adminServer?.close();
    await this.consume?.close();
    await this.delays?.close();
    await this.backend?.close();
    await this.lanes.close();
  }

  private context(parts: {
    backend: Backend;
    topics: NodeTopics;
    status: NodeStatus;
    version: string;
  }): NodeContext {
    const { config, consume } = this;
    if (consume === undefined) throw coded('INTERNAL', 'consuming is not open yet');
    const hasReplicated = parts.backend.kind === 'kafka' || config.allowDegradedAck;
    return {
      nodeId: this.manifest.nodeId,
      nodeVersion: parts.version,
      backend: parts.backend,
      topics: parts.topics,
      lanes: this.lanes.links,
      clock: systemClock,
      random: systemRandom,
      log: this.log,
      limits: {
        ...sessionLimits(config),
        messageBytesMax: config.limits.messageBytesMax,
        keyBytesMax: config.limits.keyBytesMax,
        headersBytesMax: config.limits.headersBytesMax,
        tailBytesMax: tailBytesMax(config.limits.frameBytesMax),
      },
      ackLevels: hasReplicated ? ['stored', 'replicated'] : ['stored'],
      authenticate: (mechanism, proof) => this.authenticate(mechanism, proof),
      delay: this.delays?.desk,
      series: this.delays?.series,
      fence: (session) => this.server?.closeFor(session, ErrorCode.FENCED),
      status: () => parts.status.report(),
      failover: this.backend?.failover,
      consume: consume.engine,
      groups: consume.groups,
      deadLetters: consume.deadLetters.desk,
    };
  }

  private authenticate(mechanism: number, proof: Uint8Array): Access {
    if (this.tokens === undefined) return fullAccess;
    const access = mechanism === 1 ? this.tokens.find(proof) : undefined;
    if (access !== undefined) return access;
    const words = mechanism === 1 ? 'the token is not known here' : 'this node asks for a token';
    throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, words);
  }

  private describe(): string {
    const { config, manifest } = this;
    const kafka = manifest.backend === 'kafka' ? ` kafka=${config.kafka.brokers.join(',')}` : '';
    const replicated =
      manifest.backend === 'kafka'
        ? 'acks=all by the cluster'
        : config.allowDegradedAck
          ? 'as stored (allowDegradedAck)'
          : 'refused, there are no replicas';
    return (
      `mqproxy ready mqp=${formatAddress(this.mqp)} admin=${formatAddress(this.admin)} ` +
      `backend=${manifest.backend}${kafka} data=${config.dataDir} node=${manifest.nodeId} ` +
      `stored="fsynced on this node's disk" replicated="${replicated}"`
    );
  }

  private warn(): void {
    if (!isLoopback(this.mqp.host) && this.tokens === undefined) {
      const words = `anybody who reaches ${formatAddress(this.mqp)} may produce and read: set auth.mechanism=token`;
      this.log.warn(words);
    }
  }
}
