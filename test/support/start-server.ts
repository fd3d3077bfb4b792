import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { coded } from '../../src/base/errors.ts';
import { type Exit, exitOf, Tail } from './child.ts';
import { cleanUp } from './clean-up.ts';
import { repoRoot } from './repo.ts';
import { tempDir } from './temp-dir.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** Settings of one node under test. */
export interface ServerOptions {
  /** Default `embedded`. With `kafka`, give `kafkaBrokers`. */
  readonly backend?: 'embedded' | 'kafka';
  /** `HOST:PORT`, from `sharedKafka()` or a broker of the test's own. */
  readonly kafkaBrokers?: string;
  /** More arguments of `mqproxy serve`; later ones win. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself, `--expose-gc` for example. */
  readonly nodeArgs?: readonly string[];
  /** Default: a temp folder, removed after the test. */
  readonly dataDir?: string;
  /**
   * The program, from the repository's root; default `bin/mqproxy.js`. For a build that was spoilt
   * on purpose.
   */
  readonly entry?: string;
  /** Where it listens for MQP; default 127.0.0.1. */
  readonly listenHost?: string;
}

/** Where a listener listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const stderrLinesShown = 40;

/**
 * Starts `mqproxy serve` as a process of its own on free loopback ports with a fresh data folder,
 * waits for its ready line, and ends it after the test (after the file, when called outside one).
 * When the file's tests fail, the last lines of the node's log are printed.
 */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const server = new TestServer(options);
  cleanUp(
    () => server.close(),
    () => server.killNow(),
  );
  await server.start();
  return server;
}

/**
 * What `serve` did when it was expected not to come up: its exit code and its words.
 * For tests of refusals (a second process on the folder, a damaged store, a bad setting).
 */
export async function serveRefusal(
  options: ServerOptions = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const server = new TestServer(options);
  cleanUp(
    () => server.close(),
    () => server.killNow(),
  );
  server.spawn();
  const exit = await within(server.exited, GIVE_UP_MS, 'mqproxy serve to refuse');
  return { ...exit, stdout: server.stdout(), stderr: server.stderr() };
}

// A node's own words are what explains a failed test; node:test sets the exit code before this
// runs.
const started = new Set<TestServer>();
process.on('exit', (code) => {
  if (code === 0) return;
  for (const server of started) server.report();
});

/** A node process. `restart` keeps its data folder and its ports. */
export class TestServer {
  readonly dataDir: string;
  readonly #options: ServerOptions;
  #mqp: Address = { host: '127.0.0.1', port: 0 };
  #admin: Address = { host: '127.0.0.1', port: 0 };
  #ready: Readonly<Record<string, string>> = {};
  #child: ChildProcess | undefined;
  #exited: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #stdout = new Tail();
  #stderr = new Tail();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.dataDir = options.dataDir ?? tempDir('mqproxy-data-');
    this.#mqp = { host: options.listenHost ?? '127.0.0.1', port: 0 };
  }

  /** Where MQP clients connect. */
  get mqp(): Address {
    return this.#mqp;
  }

  /** Where /metrics, /healthz and /readyz are. */
  get admin(): Address {
    return this.#admin;
  }

  /** Every `name=value` of the ready line. */
  get ready(): Readonly<Record<string, string>> {
    return this.#ready;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Settles when the running process ends; after `restart` it is a new promise. */
  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** The node's log so far, over restarts (the last 256 KiB). */
  stderr(): string {
    return this.#stderr.text;
  }

  stdout(): string {
    return this.#stdout.text;
  }

  /** Sends the signal and waits for the end. Default SIGKILL: a crash. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#child?.kill(signal);
    return within(this.#exited, GIVE_UP_MS, `the node to end after ${signal}`);
  }

  /** Sends a signal and does not wait (SIGSTOP, SIGHUP, a first SIGTERM). */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /**
   * Ends the process if it runs (SIGTERM), and starts it again on the same data and the same ports.
   */
  async restart(
    more: { args?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
  ): Promise<this> {
    if (this.#running()) await this.kill('SIGTERM');
    await this.start(more.args, more.env);
    return this;
  }

  /** Spawns without waiting for the ready line. */
  spawn(moreArgs: readonly string[] = [], moreEnv: Readonly<Record<string, string>> = {}): void {
    const {
      backend = 'embedded',
      kafkaBrokers,
      args = [],
      env = {},
      nodeArgs = [],
      entry = 'bin/mqproxy.js',
    } = this.#options;
    const serve = [
      ...nodeArgs,
      resolve(repoRoot, entry),
      'serve',
      ...['--listen', `${this.#mqp.host}:${this.#mqp.port}`],
      ...['--admin.listen', `${this.#admin.host}:${this.#admin.port}`],
      ...['--data-dir', this.dataDir],
      ...['--backend', backend],
      ...(kafkaBrokers ? ['--kafka.brokers', kafkaBrokers] : []),
      ...args,
      ...moreArgs,
    ];
    const child = spawn(process.execPath, serve, {
      cwd: this.dataDir,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env, ...moreEnv },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#stdout = new Tail();
    child.stdout.on('data', (chunk: Buffer) => this.#stdout.add(chunk));
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.add(chunk));
    this.#child = child;
    this.#exited = exitOf(child);
    started.add(this);
  }

  /** Spawns and waits for the ready line. */
  async start(
    moreArgs: readonly string[] = [],
    moreEnv: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    this.spawn(moreArgs, moreEnv);
    const ended = this.#exited.then(({ code, signal }) => {
      throw coded(
        'SERVE_FAILED',
        `mqproxy serve ended with ${signal ?? code} before it was ready:\n${this.#logTail()}`,
      );
    });
    ended.catch(() => undefined);
    const line = this.#stdout.match(/^mqproxy ready (.*)$/m);
    const [, words = ''] = await within(
      Promise.race([line, ended]),
      GIVE_UP_MS,
      `the ready line\n${this.#logTail()}`,
    );
    this.#ready = Object.fromEntries(
      [...words.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)].map(([, name, quoted, plain]) => [
        name,
        quoted ?? plain,
      ]),
    );
    this.#mqp = addressOf(this.#ready['mqp'], words);
    this.#admin = addressOf(this.#ready['admin'], words);
  }

  /** Ends the process, whatever it does. */
  async close(): Promise<void> {
    if (this.#running()) await this.kill('SIGKILL');
  }

  /** Prints the end of the node's log, for a file with failed tests. */
  report(): void {
    if (this.#stderr.text)
      process.stderr.write(
        `--- log of the node on ${this.#mqp.port}, its last lines\n${this.#logTail()}\n`,
      );
  }

  /** The last resort at process exit: synchronous. */
  killNow(): void {
    this.#child?.kill('SIGKILL');
  }

  #running(): boolean {
    return (
      this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    );
  }

  #logTail(): string {
    return this.#stderr.lines(stderrLinesShown);
  }
}

function addressOf(text: string | undefined, line: string): Address {
  const colon = text?.lastIndexOf(':') ?? -1;
  if (!text || colon < 1) throw coded('SERVE_FAILED', `no address in the ready line: ${line}`);
  return {
    host: text.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(text.slice(colon + 1)),
  };
}
