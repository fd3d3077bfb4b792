import { FaultProxy } from '../support/fault-proxy.ts';
import { untilDrained } from '../support/node-state.ts';
import { DiskFaults, preloadEnv, WallClock } from '../support/preload.ts';
import { Seeded, seed } from '../support/seeded.ts';
import { type ServerOptions, startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';
import { checkRun, keep, type RunResult } from './checker/check-run.ts';
import { dumpEmbedded, dumpKafka } from './checker/dump.ts';
import { heldBy } from './checker/held.ts';
import type { HistoryEvent } from './checker/history.ts';
import type { DumpRecord, Enough } from './checker/history-checker.ts';
import { HistoryCrew, type HistoryCrewOptions } from './checker/history-crew.ts';
import { ResendLedger } from './checker/resend-ledger.ts';
import { producersOfAllLanes, untilLanesStored } from './layout.ts';
import { PowerLife, type PowerLossCounts } from './power-loss.ts';

/** A node under load that a test does things to. */
export interface FaultRunOptions {
  /** Where the node sends; absent: the embedded log. */
  readonly brokers?: string;
  /** Where what was sent is read back; default `brokers`. */
  readonly readFrom?: string;
  /** The second cluster, as the node reaches it, and where it is read back; default the same. */
  readonly backup?: { readonly brokers: string; readonly readFrom?: string };
  /** The node's disk and clock obey the run: needed for `losePower`, `disk` and `clock`. */
  readonly preload?: boolean;
  /** Clients reach the node through a proxy. */
  readonly proxied?: boolean;
  readonly server?: ServerOptions;
  readonly crew?: Partial<HistoryCrewOptions>;
  /** Each life of the node goes on until every lane, of up to four, has stored something. */
  readonly everyLane?: boolean;
  /** Faults at drawn instants come within so many ms; default 500. */
  readonly instantMs?: number;
  /** Default: the process's seed. */
  readonly seed?: number;
}

/**
 * A node, clients that write their history, and the check at the end. Draws are of the run's seed,
 * which it prints.
 */
export class FaultRun {
  readonly crew: HistoryCrew;
  readonly server: TestServer;
  readonly topics: readonly string[];
  readonly seed: number;
  readonly random: Seeded;
  readonly ledger = new ResendLedger();
  /** What losses of power took, together. */
  readonly taken = { cut: 0, cutBytes: 0, names: 0 };
  /** Called before each kill of the node. */
  onKill: () => void = () => {};
  /** Between the clients and the node. */
  readonly proxy: FaultProxy | undefined;
  readonly #tools: Tools;
  readonly #options: FaultRunOptions;
  #life: PowerLife | undefined;

  private constructor(parts: Parts, options: FaultRunOptions) {
    this.crew = parts.crew;
    this.server = parts.server;
    this.topics = parts.topics;
    this.proxy = parts.proxy;
    this.seed = options.seed ?? seed;
    this.random = new Seeded(this.seed);
    this.#tools = parts.tools;
    this.#life = parts.life;
    this.#options = options;
  }

  static async start(options: FaultRunOptions = {}): Promise<FaultRun> {
    console.log(`seed=${options.seed ?? seed}`);
    const { brokers, backup, preload = false } = options;
    const { args = [] } = options.server ?? {};
    const dataDir = options.server?.dataDir ?? tempDir('mqproxy-data-');
    const tools = new Tools();
    const life = preload ? tools.newLife(dataDir) : undefined;
    const server = await startServer({
      ...options.server,
      args: [...(backup === undefined ? [] : besideBackup(backup.brokers)), ...args],
      dataDir,
      env: { ...options.server?.env, ...life?.env },
      ...(brokers === undefined ? {} : { backend: 'kafka', kafkaBrokers: brokers }),
    });
    const proxy = options.proxied === true ? await FaultProxy.start(server.mqp) : undefined;
    const topics = options.crew?.topics ?? [uniqueTopic('fault'), uniqueTopic('fault')];
    const crew = await HistoryCrew.start({
      clients: producersOfAllLanes,
      window: 16,
      ...options.crew,
      server: proxy?.address ?? `${server.mqp.host}:${server.mqp.port}`,
      topics,
    });
    const run = new FaultRun({ crew, server, topics, tools, life, proxy }, options);
    await run.#untilAtWork();
    return run;
  }

  /** The node's own address, past the proxy. */
  get address(): string {
    return `${this.server.mqp.host}:${this.server.mqp.port}`;
  }

  /** Rules of the node's disk. */
  get disk(): DiskFaults {
    return this.#tools.disk;
  }

  /** The node's wall clock. */
  get clock(): WallClock {
    return this.#tools.clock;
  }

  /** Lets the load run up to a drawn instant. */
  async instant(): Promise<void> {
    await passing(this.random.below(this.#options.instantMs ?? 500));
  }

  /** kill -9 at a drawn instant, and back again. */
  async kill(): Promise<void> {
    await this.instant();
    this.onKill();
    await this.server.kill('SIGKILL');
    await this.back('kill');
  }

  /** The same, and the disk keeps only what was synced, and a drawn part of the rest. */
  async losePower(): Promise<PowerLossCounts> {
    await this.instant();
    this.onKill();
    await this.server.kill('SIGKILL');
    // What was noted before it was sent again explains a duplicate, also when power took the note.
    this.ledger.update(this.server.dataDir);
    const counts = this.#life?.lose(this.random) ?? { cut: 0, cutBytes: 0, names: 0 };
    this.ledger.skip(this.server.dataDir);
    for (const key of ['cut', 'cutBytes', 'names'] as const) this.taken[key] += counts[key];
    await this.back('power');
    return counts;
  }

  /** Starts the killed node again, and waits until it answers. */
  async back(event: HistoryEvent): Promise<void> {
    this.crew.history.event(event);
    if (this.#options.preload === true) {
      this.#life?.forget();
      this.#life = this.#tools.newLife(this.server.dataDir);
    }
    await this.server.restart({ env: this.#life?.env ?? {} });
    this.ledger.update(this.server.dataDir);
    await this.#untilAtWork();
  }

  async #untilAtWork(): Promise<void> {
    await this.crew.untilAnswered();
    if (this.#options.everyLane === true) await untilLanesStored(this.server);
  }

  /** Stops the load, waits until everything was sent, and checks. */
  async end(enough: Enough = {}, drainMs = 120_000): Promise<RunResult> {
    const { brokers } = this.#options;
    await this.crew.stop();
    if (brokers !== undefined) await untilDrained(this.server, drainMs);
    this.ledger.update(this.server.dataDir);
    return await checkRun({
      history: this.crew.history.path,
      dataDirs: [this.server.dataDir],
      ledger: this.ledger,
      enough,
      dump: (onRecord) => this.#dump(onRecord),
      ...(brokers === undefined ? {} : { held: (onHeld) => heldBy(this.address, onHeld) }),
    });
  }

  /** The same, for a run in which nothing may be found. Prints the counts. */
  async endWell(enough: Enough = {}, drainMs = 120_000): Promise<RunResult> {
    const result = await this.end(enough, drainMs);
    result.verdicts.assertClean();
    const { answered, duplicates, resends, failed, unknown } = result.counts;
    console.log(
      `answered=${answered} lost=0 duplicates=${duplicates} resends=${resends} ` +
        `refused=${failed} unknown=${unknown}`,
    );
    return result;
  }

  /** Kills the node and keeps what it left; answers where. */
  async keepEvidence(): Promise<string> {
    await this.server.kill('SIGKILL');
    this.crew.history.flush();
    return keep([this.crew.history.path, this.server.dataDir]);
  }

  /** Ends what runs, for programs that go on after the run. */
  async close(): Promise<void> {
    await this.server.close();
    await this.proxy?.close();
    this.#life?.forget();
  }

  async #dump(onRecord: (record: DumpRecord) => void): Promise<void> {
    const { brokers, readFrom = brokers, backup } = this.#options;
    if (readFrom === undefined) return dumpEmbedded(this.address, this.topics, onRecord);
    await dumpKafka({ brokers: readFrom }, this.topics, onRecord);
    if (backup === undefined) return;
    const second = { brokers: backup.readFrom ?? backup.brokers, cluster: 'backup' as const };
    await dumpKafka(second, this.topics, onRecord);
  }
}

/** Arguments of a node that has a backup cluster, and changes clusters soon. */
function besideBackup(brokers: string): string[] {
  const times = ['--failover.open-after', '1s', '--failover.failback-after', '1s'];
  return ['--kafka.backup.brokers', brokers, ...times];
}

interface Parts {
  readonly crew: HistoryCrew;
  readonly server: TestServer;
  readonly topics: readonly string[];
  readonly tools: Tools;
  readonly life: PowerLife | undefined;
  readonly proxy: FaultProxy | undefined;
}

/** The files by which a run steers its node's disk and clock. */
class Tools {
  readonly #folder = tempDir('mqproxy-tools-');
  readonly disk = new DiskFaults(this.#folder);
  readonly clock = new WallClock(this.#folder);

  newLife(dataDir: string): PowerLife {
    const life = new PowerLife(dataDir);
    const more = preloadEnv({ faults: this.disk.file, clock: this.clock.file });
    Object.assign(life.env, more);
    return life;
  }
}
