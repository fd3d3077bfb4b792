import assert from 'node:assert';
import type {
  CommittedOffset,
  ConsumerBackend,
  GroupMember,
  OffsetCommit,
  Place,
  TopicPartition,
} from '../../backend/consumer-port.ts';
import { coded, codeOf } from '../../base/errors.ts';
import { inSteps } from '../../base/in-steps.ts';
import { limits } from '../../base/limits.ts';
import { decodeInline, encodeInline } from '../../offsets/ack-map.ts';
import {
  CLAIM_BYTES_MAX,
  type CommitMetadata,
  decodeMetadata,
  encodeMetadata,
  INLINE_BYTES_MAX,
} from '../../offsets/commit-metadata.ts';
import { OffsetMerger } from '../../offsets/offset-merger.ts';
import { grantedBy, type LeaseOwner, type OpenLease } from '../../offsets/open-leases.ts';
import { ownerHash } from '../lease/token.ts';
import { isRetryTopic } from '../retry/retry-record.ts';
import { inParts } from './committer.ts';
import type { ConsumeShared } from './consume-shared.ts';
import type { Failures } from './failures.ts';
import type { MapOwner, MapStore } from './map-store.ts';
import type { ConsumePartition } from './partition.ts';

/** Open leases and failed messages that the last commit names, and failed ones of any other. */
const LEFT_MAX = limits.windowMessagesMax;
const FAILED_MAX = 300;

/** What is known of a partition when it is taken over. */
export interface Started extends TopicPartition {
  readonly floor: number;
  readonly epoch: number;
  readonly leases: readonly OpenLease[];
  /** Behind the last message that owners before are known to have given out. */
  readonly given: number;
  readonly before: LeaseOwner | undefined;
  /** Key of the record that the leases stand in, if the commit names one. */
  readonly leftIn: Buffer | undefined;
  /** Puts what is acked above the floor into a merger. */
  load(merger: OffsetMerger): void;
}

/** Where a partition begins, or why that cannot be told now. */
type Position = number | { readonly failure: unknown };

/** What {@link PartitionStart} needs. */
export interface PartitionStartOptions {
  readonly group: string;
  readonly backend: ConsumerBackend;
  readonly member: GroupMember;
  readonly maps: MapStore;
  readonly shared: ConsumeShared;
  start(): Place;
}

/**
 * Where a partition begins for a new owner, by the group's commit, which is the only truth; and
 * what this owner commits. The owner's epoch is committed before anything is leased.
 */
export class PartitionStart {
  readonly #options: PartitionStartOptions;
  readonly #owners = new Map<string, Buffer>();

  constructor(options: PartitionStartOptions) {
    this.#options = options;
  }

  /** Who owns a topic of the group here, as tokens say it: 8 bytes. */
  ownerOf(topic: string): Buffer {
    const known = this.#owners.get(topic);
    if (known !== undefined) return known;
    const owner = ownerHash(this.#options.shared.nodeId, this.#options.group, topic);
    this.#owners.set(topic, owner);
    return owner;
  }

  /**
   * Reads the commits of partitions and commits this node as their owner. One whose place or ack
   * map cannot be told now, since nobody leads what it stands in, is left out: it hinders no other.
   * @returns what begins, and why something was left out; undefined: nothing was
   * @throws as the backend does; ROLE_REFUSED for a secret that is not this node's
   */
  async begin(list: readonly TopicPartition[]): Promise<{ started: Started[]; failure: unknown }> {
    const { member, shared } = this.#options;
    const places = await this.#floors(await member.committed(list));
    let { failure } = places;
    const begun: (readonly [Started, OffsetCommit])[] = [];
    await inSteps([...places.floors], limits.offsetsAtOnce, async ([commit, floor]) => {
      try {
        const one = await this.#one(commit, floor);
        begun.push([one, this.#claim(one, commit)]);
      } catch (error) {
        if (codeOf(error) === 'ROLE_REFUSED') throw error;
        failure ??= error;
      }
    });
    for (const part of inParts(begun)) {
      await member.commit(part.map(([, claim]) => claim));
      shared.stats.commits++;
    }
    return { started: begun.map(([one]) => one), failure };
  }

  /** What is committed, and where the group begins where nothing is. */
  async #floors(commits: readonly CommittedOffset[]) {
    const floors = new Map<CommittedOffset, number>();
    let failure: unknown;
    for (const commit of commits) {
      if (commit.offset !== undefined) floors.set(commit, commit.offset);
    }
    const begin = async (places: readonly CommittedOffset[], at: Place): Promise<void> => {
      if (places.length === 0) return;
      const positions = await this.#positions(places, at);
      for (const [i, position] of positions.entries()) {
        if (typeof position === 'number') floors.set(places[i] as CommittedOffset, position);
        else failure ??= position.failure;
      }
    };
    const unknown = commits.filter(({ offset }) => offset === undefined);
    const isRetry = ({ topic }: TopicPartition): boolean =>
      isRetryTopic(topic, this.#options.group);
    await begin(
      unknown.filter((place) => !isRetry(place)),
      this.#options.start(),
    );
    // All that the group put off is its own, also what came before this node found the topic.
    await begin(unknown.filter(isRetry), 'beginning');
    return { floors, failure };
  }

  /** All at once; where that fails each by itself, so that one tells of its own failure alone. */
  async #positions(places: readonly CommittedOffset[], at: Place): Promise<readonly Position[]> {
    const { backend } = this.#options;
    try {
      return await backend.positions(places, at);
    } catch (error) {
      if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
    }
    if (typeof at === 'object') return this.#positionsAt(places, at);
    return inSteps(places, limits.offsetsAtOnce, async (place) => {
      try {
        const { startOffset, endOffset } = await backend.span(place);
        return at === 'beginning' ? startOffset : endOffset;
      } catch (failure) {
        return { failure };
      }
    });
  }

  /** By topic: Kafka tells a time for all partitions of one, or for none. */
  async #positionsAt(places: readonly CommittedOffset[], at: Place): Promise<readonly Position[]> {
    const topics = [...new Set(places.map(({ topic }) => topic))];
    const found = new Map<CommittedOffset, Position>();
    await inSteps(topics, limits.offsetsAtOnce, async (topic) => {
      const own = places.filter((place) => place.topic === topic);
      const positions: readonly Position[] = await this.#options.backend
        .positions(own, at)
        .catch((failure: unknown) => own.map(() => ({ failure })));
      for (const [i, place] of own.entries()) found.set(place, positions[i] as Position);
    });
    return places.map((place) => found.get(place) as Position);
  }

  /** A partition with nothing acked above `floor`. */
  fresh({ topic, partition }: TopicPartition, floor: number): Started {
    const epoch = Math.round(this.#options.shared.clock.now());
    return {
      topic,
      partition,
      floor,
      epoch,
      leases: [],
      given: 0,
      before: undefined,
      leftIn: undefined,
      load: () => {},
    };
  }

  /** What is committed of a partition now; `failures` are its own. */
  encode(
    partition: ConsumePartition,
    failures: Failures | undefined,
  ): OffsetCommit | Promise<OffsetCommit> {
    const { merger } = partition.window;
    const map =
      merger.confirmedAbove === 0 ? Buffer.alloc(0) : encodeInline(merger, INLINE_BYTES_MAX);
    let { floor } = merger;
    let leases = this.#leases(partition, failures);
    if (map !== undefined) return this.#entry(partition, floor, map, leases);
    const { maps, group } = this.#options;
    const atHead = (): void => {
      floor = merger.floor;
      leases = this.#leases(partition, failures);
    };
    return maps
      .write(group, partition, atHead)
      .then((place) => this.#entry(partition, floor, place, leases));
  }

  /** What the next owner must know beside the map: what is out, when it goes, and what failed. */
  #leases(p: ConsumePartition, failures: Failures | undefined): OpenLease[] {
    const now = this.#options.shared.clock.monotonic();
    const left = (dueMs: number): number => Math.max(0, (dueMs - now) | 0);
    const leases = handedOver(p, left);
    const out = new Set(leases.map(({ offset }) => offset));
    if (p.isLeaving) {
      for (const { offset, run, attempt, dueMs } of p.window.openLeases(LEFT_MAX)) {
        if (out.has(offset)) continue;
        out.add(offset);
        leases.push({ offset, run, attempt, leftMs: left(dueMs) });
      }
    }
    const failed = failures?.unfinished(p.isLeaving ? LEFT_MAX : FAILED_MAX) ?? [];
    for (const row of failed) if (!out.has(row.offset)) leases.push({ ...row, run: 0 });
    return leases.sort((a, b) => a.offset - b.offset);
  }

  #entry(
    p: ConsumePartition,
    offset: number,
    map: CommitMetadata['map'],
    leases: readonly OpenLease[],
  ): OffsetCommit | Promise<OffsetCommit> {
    const { shared, maps, group } = this.#options;
    const { topic, partition, epoch, owner } = p;
    const given = Math.max(0, p.window.given - offset);
    const said = { epoch, fingerprint: shared.fingerprint, owner, map, given };
    const metadata = encodeMetadata({ ...said, leases });
    if (metadata !== undefined) return { topic, partition, offset, metadata };
    return maps.writeLeases(group, p, leases).then((leasesAt) => {
      const named = encodeMetadata({ ...said, leases: [], leasesAt });
      assert(named !== undefined, 'a place takes less than a commit has room for');
      return { topic, partition, offset, metadata: named };
    });
  }

  async #one(commit: CommittedOffset, floor: number): Promise<Started> {
    const { shared, maps, backend, group } = this.#options;
    const empty = this.fresh(commit, floor);
    const found = this.#read(commit);
    if (found === undefined) return empty;
    if (!found.fingerprint.equals(shared.fingerprint)) {
      throw coded(
        'ROLE_REFUSED',
        `group ${this.#options.group} was served with another cluster.secret: its commits name ` +
          `${found.fingerprint.toString('hex')}, this node has ` +
          `${shared.fingerprint.toString('hex')}`,
        { hint: 'give every node that shares groups the same cluster.secret' },
      );
    }
    const epoch = Math.max(found.epoch + 1, empty.epoch);
    const before = { owner: found.owner, epoch: found.epoch };
    const { map } = found;
    const { topic, partition } = commit;
    const of = { cluster: backend.cluster, topic, partition };
    const left = await this.#left(of, before, found);
    const started = { ...empty, epoch, before, ...left, given: floor + (found.given ?? 0) };
    let load: (to: OffsetMerger) => void;
    try {
      load = Buffer.isBuffer(map) ? (to) => decodeInline(map, to) : await maps.read(group, of, map);
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED_MAP') throw error;
      this.#lostMap(commit, error);
      return started;
    }
    try {
      // Once for nothing: what is damaged must be found here.
      load(new OffsetMerger(floor));
    } catch (error) {
      this.#lostMap(commit, error);
      return started;
    }
    return { ...started, load };
  }

  /** Open leases, wherever the commit has them: each says who granted it. */
  async #left(of: MapOwner, before: LeaseOwner, { leases, leasesAt }: CommitMetadata) {
    const { maps, group } = this.#options;
    if (leasesAt === undefined) return { leases: grantedBy(before, leases), leftIn: undefined };
    try {
      const record = await maps.readLeases(group, of, leasesAt);
      return { leases: record.leases, leftIn: record.key };
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED_MAP') throw error;
      this.#lost(of, error, 'the open leases of a commit are lost');
      return { leases: [], leftIn: undefined };
    }
  }

  #read(commit: CommittedOffset): CommitMetadata | undefined {
    try {
      return decodeMetadata(commit.metadata);
    } catch (error) {
      this.#lostMap(commit, error);
      return undefined;
    }
  }

  /** What was acked above the floor comes again: more than once is allowed, never is not. */
  #lostMap(of: TopicPartition, error: unknown): void {
    this.#lost(of, error, 'the ack map of a commit is lost');
  }

  #lost({ topic, partition }: TopicPartition, error: unknown, what: string): void {
    const { shared, group } = this.#options;
    shared.stats.damagedMaps++;
    shared.log.error({ err: error, group, topic, partition }, what);
  }

  /** The first commit of an owner: floor and map as they were, its own epoch. */
  #claim(one: Started, commit: CommittedOffset): OffsetCommit {
    const { shared } = this.#options;
    const found = one.before === undefined ? undefined : decodeMetadata(commit.metadata);
    const said = {
      epoch: one.epoch,
      fingerprint: shared.fingerprint,
      owner: this.ownerOf(one.topic),
      map: found?.map ?? Buffer.alloc(0),
      given: found?.given ?? 0,
    };
    const leasesAt = one.leftIn === undefined ? undefined : found?.leasesAt;
    const left = leasesAt === undefined ? { leases: one.leases } : { leases: [], leasesAt };
    const claimed = encodeMetadata({ ...said, ...left }, CLAIM_BYTES_MAX);
    assert(claimed !== undefined, 'a claim has room for what it found');
    return { topic: one.topic, partition: one.partition, offset: one.floor, metadata: claimed };
  }
}

/**
 * Leases of owners before that are still open: each of its commits names them, since after a kill
 * their holders know no more of it than after a planned stop. What is over is forgotten.
 */
function handedOver(p: ConsumePartition, left: (dueMs: number) => number): OpenLease[] {
  const leases: OpenLease[] = [];
  for (const [offset, { run, by }] of p.handedOver) {
    const lease = p.window.leaseOf(offset, run);
    // Gone from the log it is confirmed without being read: nobody else takes it off the list.
    const isOver = lease === undefined || p.window.merger.isConfirmed(offset);
    if (isOver) p.handedOver.delete(offset);
    else leases.push({ offset, run, attempt: lease.attempt, leftMs: left(lease.dueMs), by });
  }
  return leases;
}
