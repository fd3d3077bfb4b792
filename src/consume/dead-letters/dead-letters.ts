import { DUE_HORIZON_MS } from '../../../protocol/src/due.ts';
import type { Clock } from '../../base/clock.ts';
import { coded, codeOf, messageOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Seldom } from '../../base/seldom.ts';
import type { Decision, Failure, FailureCause, SettlePolicy, Settler } from '../lease/settle.ts';
import { backoffMs } from '../retry/backoff.ts';
import { deadTopicOf } from '../retry/dead-record.ts';
import { type RetryPolicy, type RetrySettings, resolvePolicy } from '../retry/retry-policy.ts';
import { baseTopicOf, retryRecordOf, retryTopicOf } from '../retry/retry-record.ts';
import { TokenBudget } from '../retry/token-budget.ts';
import { type DeadCluster, DeadLetterMover, type DeadTopicSettings } from './dead-letter-mover.ts';

/** Between two looks of a partition that waits for the budget, in ms: acks may fill it any time. */
const WAIT_MIN_MS = 50;
const WAIT_MAX_MS = 1_000;
/** A group keeps its long waits in place for so long when a delay was refused for good, in ms. */
const IN_PLACE_MS = 60_000;
/** Codes of refusals that pass. */
const passing: readonly string[] = ['BACKEND_UNAVAILABLE', 'RETRY_LATER', 'DRAINING'];
/** Between two lines about moves that fail, in ms. */
const SAY_MS = 10_000;

export interface DeadLettersOptions {
  readonly settings: RetrySettings;
  readonly deadTopic: DeadTopicSettings;
  /** The topic that brings a group what it put off of a topic. */
  retryTopic(of: { topic: string; group: string }): DeadTopicSettings;
  /** A cluster by its number; undefined when this node has none such. */
  cluster(cluster: number): DeadCluster | undefined;
  /** The delay log of a cluster, while delayed messages are taken there. */
  delayLog(cluster: number): string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly nodeId: bigint;
}

/** What happened to failed messages since the node started, by what ended their delivery. */
export interface DeadLetterNumbers {
  readonly retries: Record<FailureCause, number>;
  /** Retries whose wait was too long for their place: delayed messages. */
  putOff: number;
  readonly moved: Record<FailureCause, number>;
  /** Moves that were refused or had no answer; each is tried again. */
  moveFailures: number;
  /** Messages dropped for their age. */
  expired: number;
  /** Messages that `onExhausted: block` keeps in their place, counted once a decision. */
  blocked: number;
}

/** The budget of one group and topic. */
export interface BudgetState {
  readonly group: string;
  readonly topic: string;
  readonly tokens: number;
  readonly isHolding: boolean;
}

/** Retries and dead letters of all groups on this node. */
export class DeadLetters implements Settler {
  readonly numbers: DeadLetterNumbers = {
    retries: { dead: 0, nack: 0, expiry: 0 },
    putOff: 0,
    moved: { dead: 0, nack: 0, expiry: 0 },
    moveFailures: 0,
    expired: 0,
    blocked: 0,
  };
  readonly #options: DeadLettersOptions;
  readonly #policies = new Map<string, GroupPolicy>();

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  policyOf(group: string, name: string): SettlePolicy {
    const topic = baseTopicOf(name, group);
    const key = `${group}/${topic}`;
    const known = this.#policies.get(key);
    if (known !== undefined) return known;
    const policy = new GroupPolicy(this.#options, this.numbers, { group, topic });
    if (this.#policies.size >= limits.deadPoliciesMax) {
      // The oldest loses its budget's state, and has a full one when it is asked for again.
      const [oldest] = this.#policies.keys();
      if (oldest !== undefined) this.#policies.delete(oldest);
    }
    this.#policies.set(key, policy);
    return policy;
  }

  /** Budgets, those that hold messages back first. */
  budgets(): BudgetState[] {
    const states = [...this.#policies.values()].map((policy) => policy.budgetState());
    return states.sort((a, b) => Number(b.isHolding) - Number(a.isHolding));
  }
}

class GroupPolicy implements SettlePolicy {
  readonly ttlMs: number;
  readonly attemptsMax: number;
  readonly #options: DeadLettersOptions;
  readonly #numbers: DeadLetterNumbers;
  readonly #group: string;
  readonly #topic: string;
  readonly #policy: RetryPolicy;
  readonly #budget: TokenBudget;
  readonly #movers = new Map<number, DeadLetterMover>();
  readonly #delayers = new Map<number, DeadLetterMover>();
  readonly #seldom: Seldom;
  /** Until then nothing is put off: a delay was refused for good. */
  #inPlaceUntilMs = Number.NEGATIVE_INFINITY;

  constructor(
    options: DeadLettersOptions,
    numbers: DeadLetterNumbers,
    { group, topic }: { group: string; topic: string },
  ) {
    this.#options = options;
    this.#seldom = new Seldom(options.clock, SAY_MS);
    this.#numbers = numbers;
    this.#group = group;
    this.#topic = topic;
    this.#policy = resolvePolicy(options.settings, topic, group);
    this.#budget = new TokenBudget(this.#policy.budget, options.clock.monotonic());
    this.attemptsMax = this.#policy.attempts;
    this.ttlMs = this.#policy.ttl === 'off' ? Number.POSITIVE_INFINITY : this.#policy.ttl;
  }

  acked(count: number): void {
    this.#budget.acked(count);
  }

  expired(count: number): void {
    this.#numbers.expired += count;
  }

  decide(failure: Failure): Decision {
    const { cause, attempt } = failure;
    const { attempts, onExhausted } = this.#policy;
    // The consumer's word counts in any case; `move` takes its token.
    if (cause === 'dead') return { kind: 'move' };
    if (attempt < attempts) return this.#retry(failure);
    if (onExhausted === 'block') {
      this.#numbers.blocked += 1;
      return { kind: 'hold' };
    }
    const now = this.#options.clock.monotonic();
    if (this.#budget.take(now)) return { kind: 'move' };
    const waitMs = Math.min(WAIT_MAX_MS, Math.max(WAIT_MIN_MS, this.#budget.waitMs(now)));
    // Spread out, so that each partition that waits gets its share.
    return { kind: 'wait', delayMs: Math.round(waitMs * (1 + this.#options.random.float())) };
  }

  async move(failure: Failure, record: Buffer): Promise<void> {
    try {
      await this.#moverOf(failure.cluster).move(failure, record);
    } catch (error) {
      this.#numbers.moveFailures += 1;
      if (failure.cause !== 'dead') this.#budget.giveBack();
      this.#say(failure, error);
      throw error;
    }
    this.#numbers.moved[failure.cause] += 1;
    // As far as there is one: it counts against the budget of those that are exhausted.
    if (failure.cause === 'dead') this.#budget.take(this.#options.clock.monotonic());
  }

  async putOff(failure: Failure, record: Buffer, dueMs: number): Promise<void> {
    try {
      await this.#delayerOf(failure.cluster).move(failure, record, dueMs);
    } catch (error) {
      this.#numbers.moveFailures += 1;
      if (!passing.includes(codeOf(error))) {
        this.#inPlaceUntilMs = this.#options.clock.monotonic() + IN_PLACE_MS;
      }
      this.#say(failure, error);
      throw error;
    }
    this.#numbers.putOff += 1;
    this.#numbers.retries[failure.cause] += 1;
  }

  budgetState(): BudgetState {
    const { isHolding } = this.#budget;
    const tokens = this.#budget.tokens(this.#options.clock.monotonic());
    return { group: this.#group, topic: this.#topic, tokens, isHolding };
  }

  #retry({ cause, attempt, askedDelayMs, cluster, mode }: Failure): Decision {
    const { backoff, inPlaceMax } = this.#policy;
    const waitMs = askedDelayMs ?? backoffMs(backoff, attempt, this.#options.random);
    // In the ordered modes what follows must wait behind the message, so it stays.
    if (waitMs > inPlaceMax && mode === 'shared' && this.#canPutOff(cluster)) {
      return { kind: 'putOff', delayMs: Math.min(waitMs, DUE_HORIZON_MS) };
    }
    this.#numbers.retries[cause] += 1;
    return { kind: 'retry', delayMs: Math.min(waitMs, inPlaceMax) };
  }

  #canPutOff(cluster: number): boolean {
    const { clock, delayLog } = this.#options;
    if (clock.monotonic() < this.#inPlaceUntilMs || delayLog(cluster) === undefined) return false;
    return retryTopicOf(this.#topic, this.#group) !== undefined;
  }

  #delayerOf(number: number): DeadLetterMover {
    const known = this.#delayers.get(number);
    if (known !== undefined) return known;
    const { nodeId, delayLog } = this.#options;
    const settings = this.#options.retryTopic({ topic: this.#topic, group: this.#group });
    const retryTopic = retryTopicOf(this.#topic, this.#group) as string;
    const delayer = new DeadLetterMover({
      cluster: this.#clusterOf(number),
      settings,
      dlq: retryTopic,
      nodeId,
      like: this.#topic,
      recordOf: ({ failure, record, dueMs }, { partitions }) => {
        const log = delayLog(number);
        if (log === undefined) throw coded('BACKEND_UNAVAILABLE', 'delays are not taken now');
        const made = { delayLog: log, retryTopic, partitions, nodeId, dueMs };
        return retryRecordOf(failure, record, made);
      },
    });
    this.#delayers.set(number, delayer);
    return delayer;
  }

  #clusterOf(number: number): DeadCluster {
    const cluster = this.#options.cluster(number);
    if (cluster !== undefined) return cluster;
    throw coded('BACKEND_UNAVAILABLE', `there is no cluster ${number}`);
  }

  #moverOf(number: number): DeadLetterMover {
    const known = this.#movers.get(number);
    if (known !== undefined) return known;
    const { deadTopic: settings, nodeId } = this.#options;
    const cluster = this.#clusterOf(number);
    const dlq = deadTopicOf(this.#topic, this.#group);
    const mover = new DeadLetterMover({ cluster, settings, dlq, nodeId });
    this.#movers.set(number, mover);
    return mover;
  }

  #say({ topic, group, partition, offset }: Failure, error: unknown): void {
    if (!this.#seldom.isDue('a move')) return;
    const facts = { topic, group, partition, offset, code: codeOf(error) };
    this.#options.log.warn(facts, `a failed message could not be moved: ${messageOf(error)}`);
  }
}
