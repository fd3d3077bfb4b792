import { ErrorCode } from '../../protocol/src/generated.ts';
import type {
  GroupDescription,
  GroupList,
  GroupReset,
  ResetGroup,
} from '../../protocol/src/groups.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import type { ConsumerBackend, TopicPartition } from '../backend/consumer-port.ts';
import type { Clock } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { ConsumeEngine } from './engine.ts';
import type { ConsumeGroup } from './group.ts';
import type { Subscription } from './partition/subscription.ts';
import type { PauseBook } from './pause-book.ts';

/** Who asks, as far as it matters here. */
export interface Asker {
  /** Whether it may read a topic, or every topic whose name begins so: '' is all of them. */
  mayRead(topicOrPrefix: string): boolean;
}

/** Groups in one answer, and what one takes there at most, in bytes. */
const LIST_MAX = 1_000;
const LISTED_BYTES = 200;

const ANYBODY: Asker = { mayRead: () => true };

/** How the names of a node's own groups begin. */
const OWN_PREFIX = '__';

type Partition = GroupDescription['partitions'][number];

/** What a {@link GroupAdmin} is made of. */
export interface GroupAdminOptions {
  readonly engine: ConsumeEngine;
  readonly backends: readonly ConsumerBackend[];
  readonly clock: Clock;
  readonly pauses: PauseBook;
  /** What a list must fit into. */
  readonly frameBytesMax: number;
}

/** What people ask of groups: those that this node serves, and those the clusters know. */
export class GroupAdmin {
  readonly #engine: ConsumeEngine;
  readonly #backends: readonly ConsumerBackend[];
  readonly #clock: Clock;
  readonly #pauses: PauseBook;
  readonly #listMax: number;

  constructor(options: GroupAdminOptions) {
    this.#engine = options.engine;
    this.#backends = options.backends;
    this.#clock = options.clock;
    this.#pauses = options.pauses;
    this.#listMax = Math.min(LIST_MAX, Math.floor(options.frameBytesMax / LISTED_BYTES) - 1);
  }

  /**
   * Who may not read everything sees those that have subscriptions here to what it may read: of
   * the others the clusters would have to be asked one by one. @throws BACKEND_UNAVAILABLE
   */
  async list(prefix: string, after: string, asker = ANYBODY): Promise<GroupList> {
    const names = asker.mayRead('') ? await this.#allNames(prefix) : this.#namesFor(asker);
    const sorted = [...names]
      .filter((name) => name.startsWith(prefix) && name > after && !name.startsWith(OWN_PREFIX))
      .sort();
    const groups = sorted.slice(0, this.#listMax).map((name) => {
      const group = this.#engine.groups.get(name);
      const subscriptions = group?.subs.length ?? 0;
      const mode = group === undefined ? {} : { mode: group.mode };
      return { group: name, state: this.#stateOf(name), ...mode, subscriptions };
    });
    return { groups, ...(sorted.length > groups.length ? { more: true } : {}) };
  }

  async #allNames(prefix: string): Promise<Set<string>> {
    const names = new Set<string>(this.#pauses.groups);
    for (const name of this.#engine.groups.keys()) names.add(name);
    await this.#each(async (backend) => {
      for (const { group } of await backend.listGroups(prefix)) names.add(group);
    });
    return names;
  }

  #namesFor({ mayRead }: Asker): string[] {
    const groups = [...this.#engine.groups.values()];
    return groups.filter(({ subs }) => readsOf(subs).some(mayRead)).map(({ name }) => name);
  }

  /**
   * Partitions and members of what the asker may read.
   * @throws UNKNOWN_GROUP, BACKEND_UNAVAILABLE; NOT_AUTHORIZED when there is none of these
   */
  async describe(name: string, { mayRead } = ANYBODY): Promise<GroupDescription> {
    const group = this.#engine.groups.get(name);
    const partitions: Partition[] = [];
    const pause = this.#pauses.get(name);
    let isKnown = group !== undefined || pause !== undefined;
    const unreachable = await this.#each(async (backend) => {
      const found = await backend.describeGroup(name);
      if (found === undefined) return;
      isKnown = true;
      for (const { topic, partition, offset, endOffset, lag } of found.partitions) {
        const owner = found.members.find((member) =>
          member.partitions.some((p) => p.topic === topic && p.partition === partition),
        );
        const own = this.#own(group, backend.cluster, topic, partition);
        partitions.push({
          cluster: backend.cluster,
          topic,
          partition,
          floor: own?.window.merger.floor ?? offset ?? 0,
          endOffset,
          lag: own === undefined ? lag : unfinished(endOffset, own.window.merger),
          ...(own === undefined ? {} : { out: own.window.leased }),
          ...(owner === undefined ? {} : { node: owner.clientId }),
          ...(own?.commitFault === undefined ? {} : { fault: own.commitFault }),
        });
      }
    });
    if (!isKnown) throw unknownGroup(name);
    const seen = partitions.filter(({ topic }) => mayRead(topic));
    const subs = (group?.subs ?? []).filter((sub) => readsOf([sub]).some(mayRead));
    if (seen.length + subs.length === 0 && !mayRead('')) {
      const words = `no right to read a topic of group ${name}`;
      throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
    }
    const now = this.#clock.monotonic();
    const members = subs.map((sub) => ({
      subscription: sub.id,
      client: sub.receiver.name,
      peer: sub.receiver.peer,
      creditMessages: sub.creditMessages,
      out: sub.out,
      idleMs: Math.round(now - sub.activeMs),
    }));
    const mode = group === undefined ? {} : { mode: group.mode };
    const paused = pause === undefined ? {} : { paused: pause };
    const away = unreachable.length === 0 ? {} : { unreachable };
    const state = this.#stateOf(name);
    return { group: name, state, ...mode, ...paused, ...away, members, partitions: seen };
  }

  /**
   * Delivers nothing more to a group on this node, over restarts, until it is resumed.
   * @throws UNKNOWN_GROUP, TOO_MANY_GROUPS, BACKEND_UNAVAILABLE; DATA_DIR_REFUSED when it cannot
   * be kept: the group goes on then
   */
  async pause(name: string, who: { by: string; from: string }): Promise<void> {
    if (!this.#engine.groups.has(name) && !(await this.#isKnown(name))) throw unknownGroup(name);
    this.#pauses.set(name, { ...who, atMs: this.#clock.now() });
    // Looked up after the wait: it may have been joined meanwhile.
    const group = this.#engine.groups.get(name);
    if (group !== undefined) group.isPaused = true;
  }

  /** Goes on, and gives out again what is held for good. @throws UNKNOWN_GROUP */
  resume(name: string): void {
    const wasPaused = this.#pauses.delete(name);
    const group = this.#engine.groups.get(name);
    if (group !== undefined) group.resume();
    else if (!wasPaused) throw unknownGroup(name);
  }

  /**
   * Sets where a group goes on; what is out is lost to its consumers.
   * @throws GROUP_CONFLICT while another node reads the partition; UNKNOWN_TOPIC
   */
  async reset({ group: name, topic, partition, to }: ResetGroup): Promise<GroupReset> {
    const group = this.#engine.groups.get(name);
    const done: GroupReset['partitions'][number][] = [];
    for (const backend of this.#backends) {
      const spans = await backend.offsets(topic).catch((error: unknown) => {
        if (codeOf(error) === 'UNKNOWN_TOPIC' && this.#backends.length > 1) return [];
        throw error;
      });
      const places: TopicPartition[] = spans
        .filter((span) => partition === undefined || span.partition === partition)
        .map((span) => ({ topic, partition: span.partition }));
      if (places.length === 0) continue;
      const isOffset = typeof to === 'object' && 'offset' in to;
      const offsets = isOffset
        ? places.map((place) => within(to.offset, spans[place.partition]))
        : await backend.positions(places, to);
      for (const [i, place] of places.entries()) {
        const offset = offsets[i] ?? 0;
        const member = group?.members.find((m) => m.backend === backend);
        // Before the first message comes again: what was a copy may be wanted now.
        group?.forgetIds(topic, place.partition);
        const isOwn = (await member?.reset(topic, place.partition, offset)) ?? false;
        if (!isOwn) await backend.resetOffsets(name, [{ ...place, offset, metadata: '' }]);
        done.push({ cluster: backend.cluster, partition: place.partition, offset });
      }
    }
    if (done.length === 0) {
      const words = `topic ${topic} has no partition ${partition ?? 0}`;
      throw new ProtocolError(ErrorCode.UNKNOWN_PARTITION, words);
    }
    return { partitions: done };
  }

  /** @throws GROUP_CONFLICT while it has subscriptions; UNKNOWN_GROUP */
  async delete(name: string): Promise<void> {
    const group = this.#engine.groups.get(name);
    if (group !== undefined && group.subs.length > 0) {
      const words = `group ${name} has ${group.subs.length} subscription(s) on this node`;
      throw new ProtocolError(ErrorCode.GROUP_CONFLICT, words);
    }
    if (group !== undefined) await this.#engine.leave(group);
    let found = false;
    for (const backend of this.#backends) {
      try {
        await backend.deleteGroup(name);
        found = true;
      } catch (error) {
        if (codeOf(error) !== 'UNKNOWN_GROUP') throw error;
      }
    }
    // One that is still there goes on as it was.
    const wasPaused = this.#pauses.delete(name);
    if (!found && !wasPaused && group === undefined) throw unknownGroup(name);
  }

  /** Topics of a group that this node serves. */
  topicsOf(name: string): string[] {
    const group = this.#engine.groups.get(name);
    return group === undefined ? [] : [...new Set([...group.partitions()].map((p) => p.topic))];
  }

  /**
   * Asks one cluster after the other. Answers those that are away; one must be there.
   * @throws BACKEND_UNAVAILABLE when none answers
   */
  async #each(ask: (backend: ConsumerBackend) => Promise<void>): Promise<number[]> {
    const away: number[] = [];
    for (const backend of this.#backends) {
      try {
        await ask(backend);
      } catch (error) {
        away.push(backend.cluster);
        if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
        if (away.length === this.#backends.length) throw error;
      }
    }
    return away;
  }

  async #isKnown(name: string): Promise<boolean> {
    for (const backend of this.#backends) {
      if ((await backend.describeGroup(name)) !== undefined) return true;
    }
    return false;
  }

  #stateOf(name: string): string {
    if (this.#pauses.get(name) !== undefined) return 'paused';
    return (this.#engine.groups.get(name)?.subs.length ?? 0) === 0 ? 'idle' : 'active';
  }

  #own(group: ConsumeGroup | undefined, cluster: number, topic: string, partition: number) {
    for (const own of group?.partitions() ?? []) {
      if (own.cluster === cluster && own.topic === topic && own.partition === partition) return own;
    }
    return undefined;
  }
}

/** What subscriptions name: topics, and prefixes. */
function readsOf(subs: readonly Subscription[]): string[] {
  return subs.flatMap(({ topics, prefix }) => (topics === undefined ? [prefix] : [...topics]));
}

function unfinished(endOffset: number, merger: { floor: number; confirmedAbove: number }): number {
  return Math.max(0, endOffset - merger.floor - merger.confirmedAbove);
}

function within(offset: number, span: { startOffset: number; endOffset: number } | undefined) {
  if (span === undefined) return offset;
  return Math.min(Math.max(offset, span.startOffset), span.endOffset);
}

function unknownGroup(name: string): ProtocolError {
  return new ProtocolError(ErrorCode.UNKNOWN_GROUP, `there is no group ${name}`);
}
