import { ErrorCode } from './generated.ts';
import { checkGroupName } from './group-name.ts';
import type { MapBody } from './map-body.ts';
import {
  integerField,
  mapField,
  mapsField,
  optionalInteger,
  optionalString,
  stringField,
} from './map-fields.ts';
import { type MapMessage, mapMessage, nothing } from './map-message.ts';
import { checkTopicName } from './open-topic.ts';
import { ProtocolError } from './protocol-error.ts';
import type { ConsumeMode } from './subscribe.ts';

export interface ListGroups {
  readonly prefix?: string;
  /** Go on after this name: the last one of an answer that said `more`. */
  readonly after?: string;
}

export interface GroupList {
  /** By rising name. */
  readonly groups: readonly {
    readonly group: string;
    /** `active` with subscriptions on this node, `paused`, or `idle` without. */
    readonly state: string;
    readonly mode?: ConsumeMode;
    readonly subscriptions: number;
  }[];
  readonly more?: boolean;
}

export interface GroupName {
  readonly group: string;
}

/** A group as this node sees it. */
export interface GroupDescription {
  readonly group: string;
  readonly state: string;
  readonly mode?: ConsumeMode;
  /** Who paused it on this node, and when. */
  readonly paused?: GroupPaused;
  /** Clusters that did not answer: what they know of the group is missing here. */
  readonly unreachable?: readonly number[];
  readonly members: readonly GroupMemberInfo[];
  readonly partitions: readonly GroupPartition[];
}

/** Who holds a group on a node, and since when. */
export interface GroupPaused {
  /** Name of the token, or of the client where there are no tokens. */
  readonly by: string;
  readonly from?: string;
  readonly atMs: number;
}

/** A subscription of the group on this node. */
export interface GroupMemberInfo {
  readonly subscription: number;
  /** Name of its client, from HELLO. */
  readonly client: string;
  readonly peer?: string;
  readonly creditMessages: number;
  /** Delivered and not settled. */
  readonly out: number;
  /** Since its last frame. */
  readonly idleMs?: number;
}

/** A partition of the group. */
export interface GroupPartition {
  readonly cluster: number;
  readonly topic: string;
  readonly partition: number;
  /** Everything below it is finished. */
  readonly floor: number;
  readonly endOffset?: number;
  /** Messages behind the floor that are not finished. */
  readonly lag?: number;
  /** Leased. */
  readonly out?: number;
  /** Node that reads it; absent when nobody does. */
  readonly node?: string;
  /** Why its commits are not taken at present: acks are in the memory of the node alone. */
  readonly fault?: { readonly code: string; readonly message: string };
}

/** Where a group is to go on. */
export type ResetTarget =
  | 'beginning'
  | 'end'
  | { readonly offset: number }
  | { readonly timeMs: number };

export interface ResetGroup {
  readonly group: string;
  readonly topic: string;
  /** Absent: all of the topic. */
  readonly partition?: number;
  readonly to: ResetTarget;
}

export interface GroupReset {
  readonly partitions: readonly {
    readonly cluster: number;
    readonly partition: number;
    readonly offset: number;
  }[];
}

type Done = Record<string, never>;

// [P-13.1] list-groups := map { prefix?, after? }
//          answer := map { groups: [{ group, state, mode?, subscriptions }], more? }

export const LIST_GROUPS: MapMessage<ListGroups, GroupList> = mapMessage({
  name: 'LIST_GROUPS',
  keys: ['prefix', 'after'],
  request: (map) => ({
    prefix: optionalString(map, 'prefix'),
    after: optionalString(map, 'after'),
  }),
  answer: (map) => {
    for (const group of mapsField(map, 'groups')) {
      stringField(group, 'group');
      stringField(group, 'state');
      integerField(group, 'subscriptions');
    }
  },
});

// [P-13.2] describe-group := map { group }    answer := map { group, state, mode?, paused?,
//          unreachable?, members, partitions }, these and partitions as in the interfaces above

export const DESCRIBE_GROUP: MapMessage<GroupName, GroupDescription> = mapMessage({
  name: 'DESCRIBE_GROUP',
  keys: ['group'],
  request: readName,
  answer: (map) => {
    stringField(map, 'group');
    stringField(map, 'state');
    if (map['paused'] !== undefined) {
      const paused = mapField(map, 'paused');
      stringField(paused, 'by');
      integerField(paused, 'atMs');
    }
    for (const member of mapsField(map, 'members')) {
      stringField(member, 'client');
      integerField(member, 'out');
    }
    for (const partition of mapsField(map, 'partitions')) {
      stringField(partition, 'topic');
      integerField(partition, 'partition');
      integerField(partition, 'floor');
      if (partition['fault'] !== undefined) stringField(mapField(partition, 'fault'), 'code');
    }
  },
});

// [P-13.3] pause-group, resume-group := map { group }    answer := map {}

export const PAUSE_GROUP: MapMessage<GroupName, Done> = mapMessage({
  name: 'PAUSE_GROUP',
  keys: ['group'],
  request: readName,
  answer: nothing,
});

export const RESUME_GROUP: MapMessage<GroupName, Done> = mapMessage({
  name: 'RESUME_GROUP',
  keys: ['group'],
  request: readName,
  answer: nothing,
});

// [P-13.4] reset-group := map { group, topic, partition?,
//                               to: "beginning" | "end" | { offset } | { timeMs } }
//          answer := map { partitions: [{ cluster, partition, offset }] }

export const RESET_GROUP: MapMessage<ResetGroup, GroupReset> = mapMessage({
  name: 'RESET_GROUP',
  keys: ['group', 'topic', 'partition', 'to'],
  request: (map) => {
    const topic = stringField(map, 'topic');
    checkTopicName(topic);
    const partition = optionalInteger(map, 'partition');
    return { ...readName(map), topic, partition, to: readTarget(map) };
  },
  answer: (map) => {
    for (const partition of mapsField(map, 'partitions')) {
      integerField(partition, 'cluster');
      integerField(partition, 'partition');
      integerField(partition, 'offset');
    }
  },
});

// [P-13.5] delete-group := map { group }    answer := map {}

export const DELETE_GROUP: MapMessage<GroupName, Done> = mapMessage({
  name: 'DELETE_GROUP',
  keys: ['group'],
  request: readName,
  answer: nothing,
});

function readName(map: MapBody): GroupName {
  return { group: checkGroupName(stringField(map, 'group')) };
}

function readTarget(map: MapBody): ResetTarget {
  const to = map['to'];
  if (to === 'beginning' || to === 'end') return to;
  if (to !== undefined && to !== null && typeof to !== 'string') {
    const place = mapField(map, 'to');
    const keys = Object.keys(place).join();
    if (keys === 'offset') return { offset: integerField(place, 'offset') };
    if (keys === 'timeMs') return { timeMs: integerField(place, 'timeMs') };
  }
  throw new ProtocolError(
    ErrorCode.INVALID_ARGUMENT,
    'to is "beginning", "end", { offset } or { timeMs }',
  );
}
