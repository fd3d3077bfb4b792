import { setTimeout as pause } from 'node:timers/promises';
import { errorName } from '../../../protocol/src/protocol-error.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { RawConsumer, type RawDelivery } from '../../support/raw-consumer.ts';
import type { Seeded } from '../../support/seeded.ts';
import type { Address } from '../../support/start-server.ts';
import { passing } from '../../support/wait.ts';
import type { ConsumeHistory } from './consume-history.ts';

/** A node that consumers use, and which of its lives is the present one. */
export interface LivingNode {
  readonly mqp: Address;
  readonly life: number;
}

/** How consumers work. */
export interface HistoryConsumersOptions {
  readonly history: ConsumeHistory;
  readonly random: Seeded;
  readonly group: string;
  readonly topics: readonly string[];
  readonly leaseMs: number;
}

interface Taken {
  readonly message: RawDelivery;
  readonly lease: number;
}

/** What becomes of a message: it follows from its number and attempt, whoever gets it. */
type Plan = 'ack' | 'refuse' | 'give-up' | 'extend' | 'be-late' | 'be-slow';

const SETTLED_AT_ONCE = 20;
const BEAT_MS = 50;
const CREDIT = 256;

/**
 * Consumers that come back to their nodes after every fault, handle messages in every way there is,
 * and write what they see. Those of the numbers 3, 100, 197 … are refused until they are dead.
 */
export class HistoryConsumers {
  readonly #options: HistoryConsumersOptions;
  readonly #open = new Set<RawConsumer>();
  /** What these are sent may have been granted any time before. */
  readonly #late = new Set<RawConsumer>();
  readonly #loops: Promise<void>[] = [];
  #beatMs = performance.now();
  #beat: NodeJS.Timeout;
  #isStopping = false;

  constructor(options: HistoryConsumersOptions) {
    this.#options = options;
    this.#beat = setInterval(() => this.#look(), BEAT_MS);
    cleanUp(() => this.stop());
  }

  /** Adds a consumer of a node. */
  add(node: LivingNode): void {
    this.#loops.push(this.#run(node));
  }

  /** A consumer dies with what it has; it comes back. */
  killOne(): void {
    const open = [...this.#open];
    if (open.length > 0) this.#options.random.pick(open).client.cut();
  }

  /** A consumer reads and says nothing until its leases are over, and goes on then. */
  async freezeOne(): Promise<void> {
    const { random, leaseMs } = this.#options;
    const open = [...this.#open].filter((consumer) => !this.#late.has(consumer));
    if (open.length === 0) return;
    const consumer = random.pick(open);
    this.#late.add(consumer);
    consumer.client.socket.pause();
    await passing(leaseMs + random.below(leaseMs));
    consumer.client.socket.resume();
    await this.#catchUp(consumer);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#beat);
    for (const consumer of this.#open) consumer.client.cut();
    await Promise.all(this.#loops);
  }

  async #run(node: LivingNode): Promise<void> {
    const { group, topics, leaseMs } = this.#options;
    const asked = { group, topics: [...topics], leaseMs, creditMessages: CREDIT };
    while (!this.#isStopping) {
      const { life } = node;
      const consumer = await RawConsumer.open(node.mqp, asked).catch(() => undefined);
      if (consumer === undefined) {
        await pause(50);
        continue;
      }
      consumer.readsIds = true;
      this.#open.add(consumer);
      const take = (messages: RawDelivery[]) => this.#take(consumer, life, messages);
      consumer.onDelivered = take;
      // Those came before ids were read, and are nobody's: their leases end.
      consumer.got.splice(0);
      if (this.#isStopping) consumer.client.cut();
      await consumer.client.closed;
      this.#open.delete(consumer);
      this.#late.delete(consumer);
    }
  }

  /** The test's own process may have slept: what it reads then is late for everybody. */
  #look(): void {
    const sleptMs = performance.now() - this.#beatMs - BEAT_MS;
    this.#beatMs = performance.now();
    if (sleptMs < this.#options.leaseMs / 3) return;
    for (const consumer of this.#open) {
      if (this.#late.has(consumer)) continue;
      this.#late.add(consumer);
      void this.#catchUp(consumer);
    }
  }

  /** Behind the answer to a PING nothing is from before. */
  async #catchUp(consumer: RawConsumer): Promise<void> {
    await consumer.client.ping().then(
      () => this.#late.delete(consumer),
      () => {},
    );
  }

  #take(consumer: RawConsumer, life: number, messages: readonly RawDelivery[]): void {
    this.#look();
    const isLate = this.#late.has(consumer);
    const byPlan = new Map<Plan, Taken[]>();
    for (const message of messages) {
      const lease = this.#options.history.delivered({ ...message, life, isLate });
      const plan = planOf(message);
      const taken = byPlan.get(plan) ?? [];
      taken.push({ message, lease });
      byPlan.set(plan, taken);
    }
    for (const [plan, taken] of byPlan) {
      for (let at = 0; at < taken.length; at += SETTLED_AT_ONCE) {
        void this.#handle(consumer, plan, taken.slice(at, at + SETTLED_AT_ONCE));
      }
    }
  }

  async #handle(consumer: RawConsumer, plan: Plan, taken: readonly Taken[]): Promise<void> {
    const { history, random, leaseMs } = this.#options;
    const settle = (
      begin: (lease: number) => void,
      ask: (messages: readonly RawDelivery[]) => Promise<string[]>,
      done: (lease: number) => void,
    ) => settled(history, taken, { begin, ask, done });
    // Some take their time, so that floors wait for them.
    if (random.below(4) === 0) await pause(random.below(leaseMs / 4));
    // Behind the end of its lease, while somebody else has the message, who is slow with it.
    if (plan === 'be-late') await pause(leaseMs * 1.3);
    if (plan === 'be-slow') await pause(leaseMs * 0.6);
    if (plan === 'refuse' || plan === 'give-up') {
      const isDead = plan === 'give-up';
      await settle(
        (lease) => history.refuse(lease, isDead ? 'dead' : 'retry'),
        (messages) => consumer.nack(messages, undefined, isDead),
        (lease) => history.refused(lease),
      );
      return;
    }
    if (plan === 'extend') {
      await settle(
        (lease) => history.extend(lease),
        (messages) => consumer.extend(messages, leaseMs),
        (lease) => history.extended(lease),
      );
      await pause(random.below(leaseMs / 2));
    }
    const level = random.pick(['recorded', 'committed'] as const);
    await settle(
      (lease) => history.ack(lease, level),
      (messages) => consumer.ack(messages, level === 'committed'),
      (lease) => history.acked(lease),
    );
  }
}

/** Asks, and writes what was answered. */
async function settled(
  history: ConsumeHistory,
  taken: readonly Taken[],
  how: {
    readonly begin: (lease: number) => void;
    readonly ask: (messages: readonly RawDelivery[]) => Promise<string[]>;
    readonly done: (lease: number) => void;
  },
): Promise<void> {
  for (const { lease } of taken) how.begin(lease);
  const failures = await how.ask(taken.map(({ message }) => message)).catch(() => undefined);
  if (failures === undefined) {
    for (const { lease } of taken) history.lost(lease, 'UNKNOWN');
    return;
  }
  const codes = new Map<number, number>();
  for (const failure of failures) {
    const [entry, , code] = failure.split('/').map(Number);
    codes.set(entry as number, code as number);
  }
  for (const [entry, { lease }] of taken.entries()) {
    const code = codes.get(entry);
    if (code === undefined) how.done(lease);
    else history.lost(lease, errorName(code));
  }
}

function planOf({ value, attempt, offset }: RawDelivery): Plan {
  const n = Number(/^p\d+-n(\d+)-/.exec(value)?.[1] ?? offset);
  if (n % 97 === 3) return 'refuse';
  if (n % 89 === 5) return 'give-up';
  if (n % 41 === 4 && attempt <= 2) return attempt === 1 ? 'be-late' : 'be-slow';
  if (attempt > 1) return 'ack';
  if (n % 11 === 1) return 'refuse';
  return n % 13 === 2 ? 'extend' : 'ack';
}
