import kafkajs, { type Admin } from 'kafkajs';
import { coded } from '../../base/errors.ts';
import type { KafkaGroup } from '../../native/kafka-group.ts';
import { checkCommits } from '../commit-check.ts';
import type {
  CommittedOffset,
  GroupDescription,
  GroupMemberDescription,
  GroupPartition,
  GroupState,
  GroupSummary,
  OffsetCommit,
  TopicPartition,
} from '../consumer-port.ts';
import type { AdminClient } from './admin-client.ts';
import { groupError } from './kafka-errors.ts';

/** What {@link KafkaGroups} needs. */
export interface KafkaGroupsOptions {
  readonly client: AdminClient;
  /** Makes a native member that never joins: it commits for a group without members. */
  readonly openCommitter: (group: string) => KafkaGroup;
}

type Described = Awaited<ReturnType<Admin['describeGroups']>>['groups'][number];

const describedAtOnce = 50;
const states: Readonly<Record<string, GroupState>> = { Stable: 'stable', Empty: 'empty' };

/** Consumer groups of a cluster as its administrator sees them. */
export class KafkaGroups {
  readonly #options: KafkaGroupsOptions;

  constructor(options: KafkaGroupsOptions) {
    this.#options = options;
  }

  async list(prefix: string): Promise<GroupSummary[]> {
    const { client } = this.#options;
    const { groups } = await client.run('list its groups', (admin) => admin.listGroups());
    const names = groups
      .filter(({ groupId, protocolType }) => groupId.startsWith(prefix) && isConsumer(protocolType))
      .map(({ groupId }) => groupId)
      .sort();
    const found: GroupSummary[] = [];
    for (let from = 0; from < names.length; from += describedAtOnce) {
      const some = names.slice(from, from + describedAtOnce);
      const described = await client.run('describe its groups', (admin) =>
        admin.describeGroups(some),
      );
      for (const { groupId, state } of described.groups) {
        if (state !== 'Dead') found.push({ group: groupId, state: stateOf(state) });
      }
    }
    return found.sort((a, b) => (a.group < b.group ? -1 : 1));
  }

  async describe(group: string): Promise<GroupDescription | undefined> {
    const assignment = await this.assignment(group);
    if (assignment === undefined) return undefined;
    const commits = await this.#options.client.run(describing(group), (admin) =>
      admin.fetchOffsets({ groupId: group }),
    );
    const partitions: GroupPartition[] = [];
    for (const { topic, partitions: ofTopic } of commits) {
      const committed = ofTopic.filter(({ offset }) => Number(offset) >= 0);
      if (committed.length === 0) continue;
      const spans = await this.#spans(topic);
      for (const one of committed) partitions.push(standing(topic, one, spans));
    }
    partitions.sort((a, b) =>
      a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
    );
    return { group, ...assignment, partitions };
  }

  /** Who is in a group, and who holds what; undefined when the cluster knows no such group. */
  async assignment(
    group: string,
  ): Promise<Pick<GroupDescription, 'state' | 'members'> | undefined> {
    const { groups } = await this.#options.client.run(describing(group), (admin) =>
      admin.describeGroups([group]),
    );
    const [described] = groups;
    if (described === undefined || described.state === 'Dead') return undefined;
    return { state: stateOf(described.state), members: described.members.map(memberOf) };
  }

  /** Commits of partitions, in the order asked. */
  async committed(
    group: string,
    partitions: readonly TopicPartition[],
  ): Promise<CommittedOffset[]> {
    const topics = [...new Set(partitions.map(({ topic }) => topic))];
    const found = await this.#options.client.run(
      `tell what group ${group} has committed`,
      (admin) => admin.fetchOffsets({ groupId: group, topics }),
    );
    const byPlace = new Map(
      found.flatMap(({ topic, partitions: ofTopic }) =>
        ofTopic.map((one) => [`${topic}/${one.partition}`, one] as const),
      ),
    );
    return partitions.map(({ topic, partition }) => {
      const one = byPlace.get(`${topic}/${partition}`);
      const offset = one === undefined || Number(one.offset) < 0 ? undefined : Number(one.offset);
      return { topic, partition, offset, metadata: one?.metadata ?? '' };
    });
  }

  /** Members by group. */
  async members(names: readonly string[]): Promise<Map<string, GroupMemberDescription[]>> {
    const found = new Map<string, GroupMemberDescription[]>();
    for (let from = 0; from < names.length; from += describedAtOnce) {
      const some = names.slice(from, from + describedAtOnce);
      const { groups } = await this.#options.client.run('describe its groups', (admin) =>
        admin.describeGroups(some),
      );
      for (const { groupId, members } of groups) found.set(groupId, members.map(memberOf));
    }
    return found;
  }

  /** @throws GROUP_CONFLICT while the group has members */
  async reset(group: string, entries: readonly OffsetCommit[]): Promise<void> {
    checkCommits(entries);
    if (entries.length === 0) return;
    const committer = this.#options.openCommitter(group);
    try {
      await committer.commit(entries, true);
    } catch (cause) {
      const error = groupError(cause, `reset group ${group}`);
      // Kafka says that we are not a member: then somebody is.
      if (error.code !== 'FENCED') throw error;
      throw hasMembers(group, cause);
    } finally {
      await committer.close();
    }
  }

  /** @throws UNKNOWN_GROUP; GROUP_CONFLICT while it has members */
  async delete(group: string): Promise<void> {
    await this.#options.client.run(`delete group ${group}`, (admin) => admin.deleteGroups([group]));
  }

  async #spans(topic: string): Promise<Map<number, { low: number; high: number }>> {
    const { client } = this.#options;
    try {
      const offsets = await client.run(`tell the offsets of ${topic}`, (admin) =>
        admin.fetchTopicOffsets(topic),
      );
      return new Map(
        offsets.map((one) => [one.partition, { low: Number(one.low), high: Number(one.high) }]),
      );
    } catch {
      // The topic is gone; its commits are not.
      return new Map();
    }
  }
}

function describing(group: string): string {
  return `describe group ${group}`;
}

function hasMembers(group: string, cause: unknown): Error {
  return coded('GROUP_CONFLICT', `group ${group} has members`, {
    cause,
    hint: 'Stop its consumers, or ask the node that serves it.',
  });
}

function isConsumer(protocolType: string): boolean {
  return protocolType === 'consumer' || protocolType === '';
}

function stateOf(state: string): GroupState {
  return states[state] ?? 'rebalancing';
}

function standing(
  topic: string,
  one: { partition: number; offset: string; metadata: string | null },
  spans: ReadonlyMap<number, { low: number; high: number }>,
): GroupPartition {
  const { partition } = one;
  const offset = Number(one.offset);
  const { low: startOffset, high: endOffset } = spans.get(partition) ?? {
    low: offset,
    high: offset,
  };
  return {
    topic,
    partition,
    offset,
    metadata: one.metadata ?? '',
    startOffset,
    endOffset,
    lag: Math.max(0, endOffset - Math.max(offset, startOffset)),
  };
}

function memberOf(member: Described['members'][number]): GroupMemberDescription {
  const { memberId, clientId, clientHost } = member;
  const partitions: TopicPartition[] = [];
  const decoded =
    member.memberAssignment.length === 0
      ? null
      : kafkajs.AssignerProtocol.MemberAssignment.decode(member.memberAssignment);
  for (const [topic, numbers] of Object.entries(decoded?.assignment ?? {})) {
    for (const partition of numbers) partitions.push({ topic, partition });
  }
  return { memberId, clientId, host: clientHost.replace(/^\//, ''), partitions };
}
