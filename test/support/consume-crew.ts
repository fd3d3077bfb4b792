import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { exitOf, Tail } from './child.ts';
import { cleanUp } from './clean-up.ts';
import { RawConsumer, type RawDelivery } from './raw-consumer.ts';
import { repoRoot } from './repo.ts';
import type { TestServer } from './start-server.ts';

/** One life of a node's process. */
interface Life {
  /** When it was killed, by `performance.now()`; undefined: it was not. */
  killedMs: number | undefined;
  /** Acks that wait for their commit, and that have waited. */
  readonly commits: Commit[];
  /** By partition: when the latest ack was asked that was answered `committed`. */
  readonly covered: Map<number, number>;
}

interface Commit {
  readonly askedMs: number;
  /** Undefined: it was not answered. */
  answeredMs: number | undefined;
}

const born = (): Life => ({ killedMs: undefined, commits: [], covered: new Map() });

/** How long an ack waited for its commit at most, in the last second of a life, in ms. */
function slowestCommitMs({ killedMs = 0, commits }: Life): number {
  const ends = commits.map(({ askedMs, answeredMs = killedMs }) => ({ askedMs, answeredMs }));
  const last = ends.filter(({ answeredMs }) => answeredMs > killedMs - 1_000);
  return Math.max(0, ...last.map(({ askedMs, answeredMs }) => answeredMs - askedMs));
}

/** A node that a test kills; what its consumers were told belongs to one of its lives. */
export class MortalNode {
  readonly server: TestServer;
  life = born();

  constructor(server: TestServer) {
    this.server = server;
  }

  /** When it was killed. */
  async kill(): Promise<number> {
    const atMs = performance.now();
    this.life.killedMs = atMs;
    await this.server.kill();
    return atMs;
  }

  async restart(): Promise<void> {
    this.life = born();
    await this.server.restart();
  }
}

/** What a {@link ConsumerCrew} consumes. */
export interface CrewOf {
  readonly group: string;
  readonly topic: string;
  readonly creditMessages: number;
}

interface Delivery {
  readonly place: string;
  readonly partition: number;
  readonly atMs: number;
  readonly node: MortalNode;
  readonly life: Life;
}

/** An ack that was answered `recorded`. */
interface Recorded {
  readonly atMs: number;
  readonly life: Life;
}

const ACKED_AT_ONCE = 20;

/**
 * Consumers that come back after every kill of their node, ack half of what they get `committed`
 * and half `recorded`, and note what was answered when.
 */
export class ConsumerCrew {
  /** Values of messages that somebody got and acked, or that a killed process has printed. */
  readonly handled = new Set<string>();
  /** The last delivery of each partition and node. */
  readonly last: Delivery[] = [];
  /** What came again although it must not: `place: why`. */
  readonly wrong: string[] = [];
  /**
   * Of each ack that was answered `recorded` and whose message came again: how long before the kill
   * of its node that was, and how long commits took then, in ms.
   */
  readonly forgotten: { readonly ageMs: number; readonly commitMs: number }[] = [];
  acks = 0;
  again = 0;
  /** Those of `again` that one of the crew had from a node that was killed since. */
  afterKill = 0;
  readonly #of: CrewOf;
  readonly #before = new Map<string, Delivery | 'process'>();
  readonly #committed = new Set<string>();
  readonly #recorded = new Map<string, Recorded>();
  readonly #loops: Promise<void>[] = [];
  readonly #open = new Set<RawConsumer>();
  #isStopping = false;

  constructor(of: CrewOf) {
    this.#of = of;
    cleanUp(() => this.stop());
  }

  /** Adds a consumer of a node. */
  add(node: MortalNode): void {
    this.#loops.push(this.#run(node));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const consumer of this.#open) consumer.client.cut();
    await Promise.all(this.#loops);
  }

  /** Of the partitions that a node delivered from in its last 2 s: when each came after that. */
  after(atMs: number, from: MortalNode): { owned: Set<number>; firstMs: Map<number, number> } {
    const owned = new Set<number>();
    const firstMs = new Map<number, number>();
    for (const delivery of this.last) {
      const { partition, node, atMs: when } = delivery;
      if (node === from && when < atMs && when > atMs - 2_000) owned.add(partition);
      if (when <= atMs || wasDead(delivery)) continue;
      if (!firstMs.has(partition)) firstMs.set(partition, when - atMs);
    }
    return { owned, firstMs };
  }

  /** The first delivery of any of these nodes after `atMs`, counted from there. */
  servingMs(atMs: number, nodes: readonly MortalNode[]): number | undefined {
    const first = this.last.find(
      (one) => one.atMs > atMs && nodes.includes(one.node) && !wasDead(one),
    );
    return first === undefined ? undefined : first.atMs - atMs;
  }

  /** Starts `mqproxy consume` on a node. What it prints is handled. */
  process({ server }: MortalNode, ...more: string[]): ConsumerProcess {
    const { group, topic } = this.#of;
    const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
    const words = ['consume', topic, '--group', group, ...at, '--json', ...more];
    return new ConsumerProcess(words, ({ value, partition, offset }) => {
      this.handled.add(value);
      this.#before.set(`${partition}/${offset}`, 'process');
    });
  }

  async #run(node: MortalNode): Promise<void> {
    const { topic, ...of } = this.#of;
    const asked = { ...of, topics: [topic], leaseMs: 600_000 };
    while (!this.#isStopping) {
      const { life } = node;
      const consumer = await RawConsumer.open(node.server.mqp, asked).catch(() => undefined);
      if (consumer === undefined) {
        await pause(50);
        continue;
      }
      this.#open.add(consumer);
      const take = (messages: RawDelivery[]) => this.#take(node, life, consumer, messages);
      consumer.onDelivered = take;
      take(consumer.got.splice(0));
      if (this.#isStopping) consumer.client.cut();
      await consumer.client.closed;
      this.#open.delete(consumer);
    }
  }

  #take(node: MortalNode, life: Life, consumer: RawConsumer, messages: RawDelivery[]): void {
    const atMs = performance.now();
    for (const { partition, offset } of messages) {
      const place = `${partition}/${offset}`;
      const delivery = { place, partition, atMs, node, life };
      this.#check(delivery);
      this.#before.set(place, delivery);
      this.last.push(delivery);
    }
    for (let at = 0; at < messages.length; at += ACKED_AT_ONCE) {
      void this.#ack(life, consumer, messages.slice(at, at + ACKED_AT_ONCE));
    }
  }

  /** Whether a message may come now. */
  #check({ place, partition, atMs }: Delivery): void {
    const before = this.#before.get(place);
    if (before === undefined) return;
    this.again++;
    if (this.#committed.has(place)) this.wrong.push(`${place}: its ack was committed`);
    if (before === 'process') return;
    const { killedMs } = before.life;
    if (killedMs === undefined || killedMs > atMs) {
      this.wrong.push(`${place}: it came again, and nobody who had it was killed`);
    } else this.afterKill++;
    const recorded = this.#recorded.get(place);
    if (recorded === undefined) return;
    const toldMs = recorded.life.killedMs;
    if (toldMs === undefined) this.wrong.push(`${place}: its ack was recorded, by who lives`);
    else {
      // A commit has all that its partition had before: whatever it took, an ack that was answered
      // before another one was even asked is in the commit of that one.
      const coveredMs = recorded.life.covered.get(partition) ?? 0;
      if (coveredMs > recorded.atMs) this.wrong.push(`${place}: a later ack was committed`);
      const ageMs = Math.max(0, toldMs - recorded.atMs);
      this.forgotten.push({ ageMs, commitMs: slowestCommitMs(recorded.life) });
    }
  }

  async #ack(life: Life, consumer: RawConsumer, messages: RawDelivery[]): Promise<void> {
    if (messages.length === 0) return;
    const isCommitted = this.acks++ % 2 === 0;
    const commit: Commit = { askedMs: performance.now(), answeredMs: undefined };
    if (isCommitted) life.commits.push(commit);
    // An ack whose answer a kill cuts off may be committed all the same.
    for (const { value } of messages) this.handled.add(value);
    const failed = await consumer.ack(messages, isCommitted).catch(() => ['cut']);
    const atMs = performance.now();
    if (failed[0] !== 'cut') commit.answeredMs = atMs;
    // Those that failed come again, and are acked then.
    if (failed.length > 0) return;
    for (const { partition, offset } of messages) {
      const place = `${partition}/${offset}`;
      if (isCommitted) {
        this.#committed.add(place);
        const before = life.covered.get(partition) ?? 0;
        life.covered.set(partition, Math.max(before, commit.askedMs));
      } else this.#recorded.set(place, { atMs, life });
    }
  }
}

/** What comes out of a socket whose node was killed before. */
function wasDead({ life: { killedMs }, atMs }: Delivery): boolean {
  return killedMs !== undefined && killedMs <= atMs;
}

/** A line that `mqproxy consume --json` printed. */
export interface Printed {
  readonly value: string;
  readonly partition: number;
  readonly offset: number;
  readonly attempt: number;
}

/** An `mqproxy consume` in a process of its own. */
export class ConsumerProcess {
  readonly printed: Printed[] = [];
  readonly stderr = new Tail();
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(words: readonly string[], onPrinted: (line: Printed) => void = () => {}) {
    const program = join(repoRoot, 'bin', 'mqproxy.js');
    this.#child = spawn(process.execPath, [program, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    stderr?.on('data', (chunk: Buffer) => this.stderr.add(chunk));
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', (line) => {
        // The last one may be cut off by a kill.
        if (!line.endsWith('}')) return;
        const printed = JSON.parse(line) as Printed;
        this.printed.push(printed);
        onPrinted(printed);
      });
    }
    this.#ended = exitOf(this.#child);
    cleanUp(() => this.kill());
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** A crash of the consumer; resolves when all that it printed was read. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
