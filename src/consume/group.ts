import { encodeAssigned } from '../../protocol/src/assigned.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import type { ConsumerBackend, Place } from '../backend/consumer-port.ts';
import type { Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { DedupeWindow } from './copies/dedupe.ts';
import { Dispatcher, type DispatchShared } from './dispatcher.ts';
import type { ConsumeMode } from './lease/settle.ts';
import { Membership } from './membership.ts';
import type { ConsumeShared } from './partition/consume-shared.ts';
import type { MapStore } from './partition/map-store.ts';
import type { ConsumePartition } from './partition/partition.ts';
import type { Subscription } from './partition/subscription.ts';
import { isSideTopic } from './retry/dead-record.ts';
import { baseTopicOf, retryTopicOf } from './retry/retry-record.ts';

/** Changes of a group's topics are put together for so long, in ms. */
const TOPICS_MS = 50;
/** Between two looks for new topics of a prefix, in ms. */
const PREFIX_MS = 5_000;
/** Between two looks for the retry topics of named ones that another node may have made, in ms. */
const RETRY_TOPICS_MS = 30_000;
/** When to try again while a group is being left, in ms. */
const LEFT_MS = 500;
/** Bytes that a group delivers before it is another one's turn. */
const SLICE_BYTES = 1024 * 1024;

/** A cluster that groups read. */
export interface ConsumeCluster {
  readonly backend: ConsumerBackend;
  readonly maps: MapStore;
}

/** What a {@link ConsumeGroup} is made of. */
export interface GroupOptions {
  readonly name: string;
  readonly mode: ConsumeMode;
  readonly dedupe: boolean;
  readonly start: Place;
  readonly clusters: readonly ConsumeCluster[];
  readonly shared: ConsumeShared;
  readonly dispatch: DispatchShared;
  /** There may be something to give out. */
  onStock(group: ConsumeGroup): void;
  /** This node may not serve the group; its subscriptions were told, and end. */
  onRefused(group: ConsumeGroup): void;
}

/** A group on this node: who reads, what is read, on every cluster. */
export class ConsumeGroup {
  readonly name: string;
  readonly mode: ConsumeMode;
  readonly dedupe: boolean;
  readonly members: readonly Membership[];
  subs: Subscription[] = [];
  isPaused = false;
  /** Runs from the last subscription's end on. */
  leaving: Timer | undefined;
  readonly #options: GroupOptions;
  readonly #dispatcher: Dispatcher;
  readonly #ids = new Map<string, DedupeWindow>();
  readonly #writer = new FrameWriter();
  #topics: string[][];
  #timer: Timer | undefined;
  /** Looks for topics so far: one may take longer than until the next. */
  #looks = 0;
  /** Of each cluster: the latest look that told it its topics. */
  readonly #told: number[] = [];
  #closed = false;
  /** Why this node may not serve the group. */
  #refusal: string | undefined;

  constructor(options: GroupOptions) {
    const { name, mode, shared, clusters } = options;
    this.#options = options;
    this.name = name;
    this.mode = mode;
    this.dedupe = options.dedupe;
    this.#dispatcher = new Dispatcher(options.dispatch);
    this.#topics = clusters.map(() => []);
    this.members = clusters.map(
      ({ backend, maps }, i) =>
        new Membership(
          {
            group: name,
            mode,
            backend,
            maps,
            shared,
            start: () => options.start,
            dedupe: (topic, partition) => this.#idsOf(topic, partition),
            forgetIds: (topic, partition) => this.forgetIds(topic, partition),
            onPartitions: () => this.#changed(),
            onStock: () => options.onStock(this),
            onPutOff: (topic) => this.#expectRetries(i, topic),
            onRefused: (message) => this.#refused(message),
          },
          [],
        ),
    );
  }

  /**
   * To be called before `add`: a group that is left takes seconds, and brings nothing any more.
   * @throws ProtocolError RETRY_LATER, ROLE_REFUSED as those were told that had subscribed before
   */
  checkOpen(): void {
    if (this.#closed) {
      const words = `this node is leaving group ${this.name}`;
      throw new ProtocolError(ErrorCode.RETRY_LATER, words, LEFT_MS);
    }
    if (this.#refusal !== undefined) {
      throw new ProtocolError(ErrorCode.ROLE_REFUSED, this.#refusal);
    }
  }

  add(sub: Subscription): void {
    this.leaving?.cancel();
    this.leaving = undefined;
    this.subs = [...this.subs, sub];
    sub.assigned = this.assignedOf(sub);
    this.#refreshIn(this.subs.length === 1 ? 0 : TOPICS_MS);
    this.#options.onStock(this);
  }

  /** Ends a subscription; its leases are the caller's to give back. */
  remove(sub: Subscription): void {
    sub.ended = true;
    this.subs = this.subs.filter((other) => other !== sub);
    for (const partition of this.partitions()) {
      if (partition.bound === sub) partition.bound = undefined;
    }
    if (this.subs.length > 0) this.#refreshIn(TOPICS_MS);
    this.#options.onStock(this);
  }

  *partitions(): Generator<ConsumePartition> {
    for (const member of this.members) yield* member.partitions.values();
  }

  /** Whether it leases messages of a partition. */
  reads(cluster: number, topic: string, partition: number): boolean {
    return this.members.some(
      (member) => member.backend.cluster === cluster && member.reads(topic, partition),
    );
  }

  owns(partition: ConsumePartition): boolean {
    return this.members.some((member) => member.failures.has(partition));
  }

  /** Whether messages that failed are on their way to where they end, or come again. */
  get isMoving(): boolean {
    return this.members.some(({ failures }) => [...failures.values()].some((one) => one.isMoving));
  }

  /** Partitions that this node reads for a subscription. */
  assignedOf(sub: Subscription): number {
    let count = 0;
    for (const { topic, isLeaving } of this.partitions()) {
      if (!isLeaving && sub.covers(topic)) count++;
    }
    return count;
  }

  /** Gives out a slice. True: there is more to do at once. */
  dispatch(): boolean {
    if (this.#closed) return false;
    const more = !this.isPaused && this.#dispatcher.dispatch(this.subs, SLICE_BYTES);
    for (const member of this.members) member.refill();
    return more;
  }

  resume(): void {
    this.isPaused = false;
    for (const member of this.members) {
      for (const failures of member.failures.values()) failures.release();
    }
    this.#options.onStock(this);
  }

  /** What was seen of a partition says nothing about what comes now. */
  forgetIds(topic: string, partition: number): void {
    this.#ids.delete(`${topic}/${partition}`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.leaving?.cancel();
    await Promise.all(this.members.map((member) => member.close()));
  }

  #idsOf(topic: string, partition: number): DedupeWindow | undefined {
    if (!this.dedupe) return undefined;
    const key = `${topic}/${partition}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const made = new DedupeWindow();
    this.#ids.set(key, made);
    return made;
  }

  /** What another node reads now is read back should it come again. */
  #forgetOthers(): void {
    for (const key of this.#ids.keys()) {
      if (!this.members.some(({ partitions }) => partitions.has(key))) this.#ids.delete(key);
    }
  }

  #changed(): void {
    this.#forgetOthers();
    // Another node may have left what it put off to this one, whose topic is not known here yet.
    if (this.subs.length > 0) this.#refreshIn(TOPICS_MS);
    this.#dispatcher.setPartitions(this.partitions());
    for (const sub of this.subs) {
      const assigned = this.assignedOf(sub);
      if (assigned === sub.assigned) continue;
      sub.assigned = assigned;
      const topics = new Set<string>();
      for (const { topic } of this.partitions()) if (sub.covers(topic)) topics.add(topic);
      this.#writer.reset();
      const said = { subscription: sub.id, assigned, topics: [...topics].sort() };
      encodeAssigned(this.#writer, said);
      sub.receiver.write(Buffer.from(this.#writer.view()));
    }
    this.#options.onStock(this);
  }

  #refused(message: string): void {
    this.#refusal = message;
    const ended = { code: ErrorCode.ROLE_REFUSED, message };
    for (const sub of this.subs) {
      this.#writer.reset();
      encodeAssigned(this.#writer, { subscription: sub.id, assigned: 0, topics: [], ended });
      sub.receiver.write(Buffer.from(this.#writer.view()));
    }
    this.#options.onRefused(this);
  }

  #refreshIn(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.shared.clock.setTimer(() => {
      this.#timer = undefined;
      void this.#refresh();
    }, delayMs);
  }

  /** Finds the topics of all subscriptions, and tells the clusters what changed. */
  async #refresh(): Promise<void> {
    // Who comes back within the linger finds the partitions as they were.
    if (this.#closed || this.subs.length === 0) return;
    const look = ++this.#looks;
    const prefixes = [
      ...new Set(this.subs.filter((s) => s.topics === undefined).map((s) => s.prefix)),
    ];
    const named = new Set(this.subs.flatMap((sub) => [...(sub.topics ?? [])]));
    for (const [i, member] of this.members.entries()) {
      const topics = new Set(named);
      try {
        for (const prefix of prefixes) {
          for (const { name } of await member.backend.listTopics(prefix)) {
            if (!isSideTopic(baseTopicOf(name, this.name))) topics.add(name);
          }
        }
        for (const name of await this.#retryTopics(member, named)) topics.add(name);
      } catch (error) {
        // What is known stays; the next look comes soon.
        const said = { group: this.name, code: codeOf(error), reason: messageOf(error) };
        this.#options.shared.log.warn(said, 'the topics of a prefix could not be listed');
        for (const topic of this.#topics[i] ?? []) topics.add(topic);
      }
      if (this.#closed) return;
      // A later look knows better.
      if (look < (this.#told[i] ?? 0)) continue;
      this.#told[i] = look;
      const list = [...topics].sort();
      if (list.join('\n') === this.#topics[i]?.join('\n')) continue;
      this.#topics[i] = list;
      member.setTopics(list);
    }
    // Whoever came meanwhile asked for a look of its own, which comes sooner.
    if (this.#timer !== undefined) return;
    this.#refreshIn(prefixes.length > 0 ? PREFIX_MS : RETRY_TOPICS_MS);
  }

  /** Where messages of these topics come again that were put off, as far as there were any. */
  async #retryTopics(member: Membership, topics: ReadonlySet<string>): Promise<string[]> {
    if (topics.size === 0) return [];
    const wanted = new Set([...topics].map((topic) => retryTopicOf(topic, this.name)));
    const found = await member.backend.listTopics(commonPrefix([...topics]));
    return found.map(({ name }) => name).filter((name) => wanted.has(name));
  }

  /** The first message that is put off makes its topic: it is read from now on. */
  #expectRetries(cluster: number, topic: string): void {
    const name = retryTopicOf(topic, this.name) ?? topic;
    if (!this.#closed && this.#topics[cluster]?.includes(name) === false) this.#refreshIn(0);
  }
}

function commonPrefix(names: readonly string[]): string {
  let prefix = names[0] ?? '';
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return prefix;
}
