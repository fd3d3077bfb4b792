import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { checkCommits } from '../commit-check.ts';
import type {
  ConsumerBackend,
  GroupDescription,
  GroupMember,
  GroupMemberDescription,
  GroupPartition,
  GroupState,
  GroupSummary,
  JoinOptions,
  OffsetCommit,
  Place,
  TopicPartition,
} from '../consumer-port.ts';
import type { PartitionOffsets, TailRequest, TailResult, TopicSummary } from '../port.ts';
import type { EmbeddedBackend } from './embedded-backend.ts';
import { EmbeddedMember } from './embedded-member.ts';
import type { LaneControl } from './lane-control.ts';

/** What an {@link EmbeddedConsumers} is made of. */
export interface EmbeddedConsumersOptions {
  readonly backend: EmbeddedBackend;
  readonly lane: LaneControl;
  readonly clock: Clock;
}

interface Membership {
  readonly member: EmbeddedMember;
  readonly clientId: string;
}

/** The consuming side of the embedded log: groups of one member, commits in the lane's store. */
export class EmbeddedConsumers implements ConsumerBackend {
  readonly cluster = 0;
  readonly #options: EmbeddedConsumersOptions;
  readonly #members = new Map<string, Membership>();

  constructor(options: EmbeddedConsumersOptions) {
    this.#options = options;
    options.backend.onTopic(() => {
      for (const { member } of this.#members.values()) member.look();
    });
  }

  join(join: JoinOptions): GroupMember {
    const { backend, lane, clock } = this.#options;
    const { group, clientId } = join;
    if (this.#members.has(group)) {
      throw coded('GROUP_CONFLICT', `this node is a member of group ${group} already`);
    }
    const member = new EmbeddedMember({
      join,
      lane,
      clock,
      partitionsOf: (topic) => backend.partitionsOf(topic),
      read: (request) => backend.read(request),
      onClosed: () => this.#members.delete(group),
    });
    this.#members.set(group, { member, clientId });
    return member;
  }

  tail(request: TailRequest): Promise<TailResult> {
    return this.#options.backend.read(request);
  }

  offsets(topic: string): Promise<PartitionOffsets[]> {
    return this.#options.lane.call('log.offsets', { topic });
  }

  async span({ topic, partition }: TopicPartition): Promise<PartitionOffsets> {
    const span = (await this.offsets(topic))[partition];
    if (span !== undefined) return span;
    throw coded('UNKNOWN_PARTITION', `topic ${topic} has no partition ${partition}`);
  }

  positions(partitions: readonly TopicPartition[], at: Place): Promise<readonly number[]> {
    const { lane } = this.#options;
    return Promise.all(
      partitions.map(async ({ topic, partition }) => {
        if (typeof at === 'object') {
          return lane.call('log.offsetAt', { topic, partition, timeMs: at.timeMs });
        }
        const span = await this.span({ topic, partition });
        return at === 'beginning' ? span.startOffset : span.endOffset;
      }),
    );
  }

  listTopics(prefix: string): Promise<TopicSummary[]> {
    return this.#options.backend.listTopics(prefix);
  }

  async listGroups(prefix: string): Promise<GroupSummary[]> {
    const stored = await this.#options.lane.call('log.groups', {});
    const names = new Set([...stored, ...this.#members.keys()]);
    return [...names]
      .filter((group) => group.startsWith(prefix))
      .sort()
      .map((group) => ({ group, state: this.#stateOf(group) }));
  }

  async describeGroup(group: string): Promise<GroupDescription | undefined> {
    const commits = await this.#options.lane.call('log.commits', { group });
    const membership = this.#members.get(group);
    if (commits.length === 0 && membership === undefined) return undefined;
    const partitions: GroupPartition[] = [];
    const spans = new Map<string, PartitionOffsets[]>();
    for (const commit of commits) {
      const { topic, partition, offset } = commit;
      const known = spans.get(topic) ?? (await this.offsets(topic).catch(() => []));
      spans.set(topic, known);
      const { startOffset = offset, endOffset = offset } = known[partition] ?? {};
      const lag = Math.max(0, endOffset - Math.max(offset, startOffset));
      partitions.push({ ...commit, startOffset, endOffset, lag });
    }
    return { group, state: this.#stateOf(group), members: this.#membersOf(group), partitions };
  }

  async groupMembers(
    groups: readonly string[],
  ): Promise<ReadonlyMap<string, readonly GroupMemberDescription[]>> {
    return new Map(groups.map((group) => [group, this.#membersOf(group)]));
  }

  async resetOffsets(group: string, entries: readonly OffsetCommit[]): Promise<void> {
    checkCommits(entries);
    this.#refuseMembers(group);
    await this.#options.lane.call('log.commit', { group, commits: entries });
  }

  async deleteGroup(group: string): Promise<void> {
    this.#refuseMembers(group);
    const { lane } = this.#options;
    const commits = await lane.call('log.commits', { group });
    if (commits.length === 0) throw coded('UNKNOWN_GROUP', `there is no group ${group}`);
    await lane.call('log.dropGroup', { group });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ member }) => member.close()));
  }

  #membersOf(group: string): GroupMemberDescription[] {
    const membership = this.#members.get(group);
    if (membership === undefined) return [];
    const { clientId, member } = membership;
    return [{ memberId: clientId, clientId, host: '', partitions: member.partitions }];
  }

  #stateOf(group: string): GroupState {
    return this.#members.has(group) ? 'stable' : 'empty';
  }

  #refuseMembers(group: string): void {
    if (!this.#members.has(group)) return;
    throw coded('GROUP_CONFLICT', `group ${group} has members`, {
      hint: 'Stop its consumers, or ask the node that serves it.',
    });
  }
}
