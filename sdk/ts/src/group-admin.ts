import {
  DELETE_GROUP,
  DESCRIBE_GROUP,
  type GroupDescription,
  type GroupList,
  type GroupReset,
  LIST_GROUPS,
  PAUSE_GROUP,
  RESET_GROUP,
  RESUME_GROUP,
} from '../../../protocol/src/groups.ts';
import type { Control } from './control.ts';

/** Where a group is to go on. */
export type GroupPlace = 'beginning' | 'end' | { readonly offset: number } | Date;

/** What one asks of groups, beside consuming: `client.groups`. */
export class GroupAdmin {
  private readonly control: Control;

  constructor(control: Control) {
    this.control = control;
  }

  async list(prefix?: string): Promise<GroupList['groups']> {
    const groups: GroupList['groups'][number][] = [];
    for (;;) {
      const page = await this.control.ask(
        LIST_GROUPS,
        { prefix, after: groups.at(-1)?.group },
        true,
      );
      groups.push(...page.groups);
      if (page.more !== true || page.groups.length === 0) return groups;
    }
  }

  /** @throws MqpError UNKNOWN_GROUP, NOT_AUTHORIZED */
  describe(group: string): Promise<GroupDescription> {
    return this.control.ask(DESCRIBE_GROUP, { group }, true);
  }

  /**
   * Delivers nothing more by this node until `resume`, over its restarts.
   * @throws MqpError UNKNOWN_GROUP
   */
  async pause(group: string): Promise<void> {
    await this.control.ask(PAUSE_GROUP, { group }, true);
  }

  /** @throws MqpError UNKNOWN_GROUP */
  async resume(group: string): Promise<void> {
    await this.control.ask(RESUME_GROUP, { group }, true);
  }

  /**
   * Sets where the group goes on in a topic, or in one partition of it.
   * @throws MqpError GROUP_CONFLICT, UNKNOWN_TOPIC, UNKNOWN_PARTITION
   */
  async reset(
    group: string,
    topic: string,
    to: GroupPlace,
    partition?: number,
  ): Promise<GroupReset['partitions']> {
    const place = to instanceof Date ? { timeMs: to.getTime() } : to;
    const answer = await this.control.ask(
      RESET_GROUP,
      { group, topic, partition, to: place },
      false,
    );
    return answer.partitions;
  }

  /** @throws MqpError GROUP_CONFLICT while it has subscriptions, UNKNOWN_GROUP */
  async delete(group: string): Promise<void> {
    await this.control.ask(DELETE_GROUP, { group }, false);
  }
}
