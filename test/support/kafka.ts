import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { coded } from '../../src/base/errors.ts';
import { type Exit, exitOf, Tail } from './child.ts';
import { cleanUp } from './clean-up.ts';
import { formatAsBefore, keepFormat, newKafkaId } from './kafka-format.ts';
import { secondProperties, serverProperties } from './kafka-properties.ts';
import { cacheDir, repoRoot } from './repo.ts';
import { removeDir } from './temp-dir.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** Settings of one broker. */
export interface KafkaOptions {
  /** Lines of server.properties beside or instead of the defaults below. */
  readonly config?: Readonly<Record<string, string>>;
  /** Java's largest heap, in MiB; default 768. */
  readonly heapMaxMib?: number;
  /** Java's second compiler and its parallel collector: for a broker whose speed is measured. */
  readonly isMeasured?: boolean;
  /** Its files go into a new folder in here; default: the temp folder. */
  readonly folder?: string | undefined;
  /** Where Java writes the archive of the classes it loaded, when the broker stops. */
  readonly archiveTo?: string;
  /** The broker, number 1, whose cluster this one joins as number 2; default: a cluster alone. */
  readonly joins?: KafkaBroker;
}

/**
 * The address (`127.0.0.1:PORT`) of the broker that all tests share: the one of the test runner
 * (`MQPROXY_TEST_KAFKA`), else one that is started for this file and stopped after it. Take a topic
 * name of your own from `uniqueTopic()`, and never stop or pause this one; a test that does so
 * starts its own.
 */
export async function sharedKafka(): Promise<string> {
  const given = process.env['MQPROXY_TEST_KAFKA'];
  if (given) return given;
  own ??= startForFile();
  return (await own).address;
}
let own: Promise<KafkaBroker> | undefined;

/** A broker that outlives the test that asked first, and ends with the process. */
async function startForFile(): Promise<KafkaBroker> {
  const broker = await createKafka();
  process.on('exit', () => broker.killNow());
  await broker.start();
  broker.unref();
  return broker;
}

/**
 * Starts a real broker (KRaft) on free ports with its data in a temp folder, and closes it after
 * the test, or after the file when called outside one. One that is to be joined answers for the
 * cluster: while it is away, the other can be asked and told nothing new.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaBroker> {
  const broker = await createKafka(options);
  cleanUp(
    () => broker.close(),
    () => broker.killNow(),
  );
  await broker.start();
  return broker;
}

/** A broker without a test around it, not started yet: the caller closes it. */
export async function createKafka(options: KafkaOptions = {}): Promise<KafkaBroker> {
  const missing = kafkaMissing();
  if (missing) throw coded('KAFKA_MISSING', missing);
  await fetchKafka();
  await archiveClasses();
  return new KafkaBroker(await freePort(), await freePort(), options);
}

/**
 * For `test(title, { skip: skipWithoutKafka() }, …)`: false when Java and Maven are there, else why
 * the test is skipped. With `CI=true` nothing is skipped: the test then fails with the reason.
 */
export function skipWithoutKafka(): string | false {
  if (process.env['MQPROXY_TEST_KAFKA'] || process.env['CI'] === 'true') return false;
  return kafkaMissing() ?? false;
}

/** What is missing to run a real Kafka, in one line, or undefined. */
export function kafkaMissing(): string | undefined {
  const onPath = (name: string): boolean =>
    (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));
  const missing = [
    onPath('java') ? '' : 'Java 17',
    onPath('mvn') || jarsAreThere() ? '' : 'Maven',
  ].filter(Boolean);
  if (missing.length === 0) return undefined;
  return `real Kafka needs ${missing.join(' and ')}; install with: apt-get install openjdk-17-jre-headless maven`;
}

/** Kafka's jars, once `fetchKafka` has run. */
export const kafkaLibs = join(cacheDir, 'kafka', 'libs');
const classArchive = join(kafkaLibs, 'classes.jsa');
const pom = join(repoRoot, 'test', 'support', 'kafka', 'pom.xml');

function jarsStamp(): string {
  return createHash('sha256').update(readFileSync(pom)).digest('hex');
}

/** Whether the jars of this pom.xml were fetched before. */
export function jarsAreThere(): boolean {
  const stamp = join(kafkaLibs, 'pom.sha256');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === jarsStamp();
}

/** Fetches Kafka's jars by Maven into the ignored cache, once. */
export async function fetchKafka(): Promise<void> {
  if (jarsAreThere()) return;
  mkdirSync(join(cacheDir, 'kafka'), { recursive: true });
  const fresh = mkdtempSync(join(cacheDir, 'kafka', 'fetch-'));
  const args = [
    '-q',
    '-B',
    '-f',
    pom,
    'dependency:copy-dependencies',
    `-DoutputDirectory=${fresh}`,
  ];
  // Not while others wait for this process: the test runner goes on meanwhile.
  await promisify(execFile)('mvn', args, { encoding: 'utf8' }).catch((error) => {
    rmSync(fresh, { recursive: true, force: true });
    const { stdout, stderr, message } = error as {
      stdout: string;
      stderr: string;
      message: string;
    };
    throw coded(
      'KAFKA_MISSING',
      `mvn could not fetch Kafka's jars:\n${stdout}${stderr || message}`,
    );
  });
  writeFileSync(join(fresh, 'pom.sha256'), jarsStamp());
  rmSync(kafkaLibs, { recursive: true, force: true });
  renameSync(fresh, kafkaLibs);
}

/**
 * Keeps the classes of a running broker in Java's own format, once: a broker that reads them starts
 * with half the work, and a run starts dozens. Lies beside the jars, to go with them; a Java that
 * cannot use it ignores it.
 */
async function archiveClasses(): Promise<void> {
  if (existsSync(classArchive)) return;
  const archiveTo = `${classArchive}.${process.pid}`;
  const broker = new KafkaBroker(await freePort(), await freePort(), { archiveTo });
  const atExit = (): void => broker.killNow();
  process.on('exit', atExit);
  try {
    await broker.start();
    await broker.stop();
  } finally {
    await broker.close();
    process.off('exit', atExit);
  }
  if (existsSync(archiveTo)) renameSync(archiveTo, classArchive);
}

/** A TCP port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/**
 * One broker process. After `stop` or `kill`, `start` brings it back with the same data on the same
 * port.
 */
export class KafkaBroker {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly port: number;
  readonly #cluster: { readonly id: string; readonly controllerPort: number };
  readonly #folder: string;
  readonly #options: KafkaOptions;
  readonly #log = new Tail();
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> | undefined;

  constructor(port: number, controllerPort: number, options: KafkaOptions) {
    this.port = port;
    this.address = `127.0.0.1:${port}`;
    const { joins, folder = tmpdir(), config } = options;
    this.#options = options;
    this.#cluster = joins === undefined ? { id: newKafkaId(), controllerPort } : joins.#cluster;
    this.#folder = mkdtempSync(join(folder, 'mqproxy-kafka-'));
    const data = join(this.#folder, 'data');
    const properties = {
      ...serverProperties(port, this.#cluster.controllerPort, data),
      ...(joins === undefined ? {} : secondProperties(port)),
      ...config,
    };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    writeFileSync(join(this.#folder, 'server.properties'), `${lines.join('\n')}\n`);
  }

  /** Bytes of a topic's `.log` files. */
  logBytes(topic: string): number {
    const data = join(this.#folder, 'data');
    let bytes = 0;
    for (const partition of readdirSync(data)) {
      if (!partition.startsWith(`${topic}-`)) continue;
      for (const file of readdirSync(join(data, partition))) {
        if (!file.endsWith('.log')) continue;
        // The cleaner may have removed it meanwhile.
        bytes += statSync(join(data, partition, file), { throwIfNoEntry: false })?.size ?? 0;
      }
    }
    return bytes;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What the broker logged last. */
  get log(): string {
    return this.#log.lines(200);
  }

  /** Resolves when the broker takes requests. */
  async start(): Promise<void> {
    if (this.#child) return;
    const settings = join(this.#folder, 'server.properties');
    if (!existsSync(join(this.#folder, 'data'))) await this.#format(settings);
    const log = new Tail();
    const { archiveTo } = this.#options;
    const archive = archiveTo === undefined ? [] : [`-XX:ArchiveClassesAtExit=${archiveTo}`];
    const child = spawn('java', [...archive, ...this.#java('kafka.Kafka', settings)], {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        log.add(chunk);
        this.#log.add(chunk);
      });
    }
    this.#child = child;
    this.#exit = exitOf(child);
    const died = this.#exit.then(({ code }) => {
      throw coded('KAFKA_FAILED', `Kafka ended with code ${code}:\n${this.#log.lines(40)}`);
    });
    died.catch(() => undefined);
    await within(
      Promise.race([log.match(/Kafka Server started/), died]),
      GIVE_UP_MS,
      'Kafka to start',
    );
  }

  /** A clean stop (SIGTERM). */
  async stop(): Promise<void> {
    this.#child?.kill('SIGCONT');
    await this.#end('SIGTERM');
  }

  /** A crash (SIGKILL). */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Freezes the process: connections stay, nothing is answered. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** Undoes `pause`. */
  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends the broker for good and removes its data. */
  async close(): Promise<void> {
    await this.kill();
    removeDir(this.#folder);
  }

  /** The process under test may end although the broker runs. */
  unref(): void {
    this.#child?.unref();
    for (const stream of [this.#child?.stdout, this.#child?.stderr]) (stream as Socket).unref();
  }

  /** The last resort at process exit: synchronous. */
  killNow(): void {
    this.#child?.kill('SIGKILL');
    removeDir(this.#folder);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#child || !this.#exit) return;
    this.#child.kill(signal);
    await within(this.#exit, GIVE_UP_MS, `Kafka to end after ${signal}`);
    this.#child = undefined;
  }

  #java(main: string, ...args: string[]): string[] {
    const logging = '-Dorg.slf4j.simpleLogger.';
    const { heapMaxMib = 768, isMeasured = false, archiveTo } = this.#options;
    return [
      `-Xmx${heapMaxMib}m`,
      // Most brokers live for seconds: what Java compiles well would not be run often enough.
      ...(isMeasured ? [] : ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']),
      ...(archiveTo === undefined ? [`-XX:SharedArchiveFile=${classArchive}`] : []),
      '-Djava.awt.headless=true',
      `${logging}defaultLogLevel=warn`,
      `${logging}showDateTime=true`,
      `${logging}dateTimeFormat=HH:mm:ss.SSS`,
      `${logging}log.kafka.server.KafkaRaftServer=info`,
      '-cp',
      join(kafkaLibs, '*'),
      main,
      ...args,
    ];
  }

  async #format(settings: string): Promise<void> {
    const { id } = this.#cluster;
    const data = join(this.#folder, 'data');
    if (formatAsBefore(data, settings, id)) return;
    const args = this.#java('kafka.tools.StorageTool', 'format', '-t', id, '-c', settings);
    const said = new Tail();
    const child = spawn('java', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => said.add(chunk));
    // `close` and `killNow` find it here: a file may end while it runs.
    this.#child = child;
    this.#exit = exitOf(child);
    const { code } = await this.#exit;
    this.#child = undefined;
    if (code !== 0) throw coded('KAFKA_FAILED', `StorageTool format:\n${said.text}`);
    keepFormat(data);
  }
}
