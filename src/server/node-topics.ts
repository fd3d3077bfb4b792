import { openTopic } from '../backend/open-topic.ts';
import type { Backend, TopicDescription } from '../backend/port.ts';
import { checkTopicName } from '../backend/topic-name.ts';
import { coded } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Catalog, CatalogTopic } from '../catalog/port.ts';
import type { LaneTopic } from '../lanes/lane-calls.ts';
import type { LaneLink } from '../lanes/lane-link.ts';

/** Parts of {@link NodeTopics}. */
export interface NodeTopicsParts {
  readonly backend: Backend;
  readonly catalog: Catalog;
  readonly lanes: readonly LaneLink[];
  readonly autoCreate: boolean;
  /** Largest message of a topic whose backend takes batches that long, in bytes. */
  messageBytesMax(batchBytesMax: number): number;
  /** Whether records of the topic carry the `mq` header. */
  idHeader(name: string): boolean;
  /** Whether the topic is to wait in the outbox while it takes no messages. */
  isPatient(name: string): boolean;
}

/** An opened topic. */
export interface NodeTopic {
  /** The node-wide id. */
  readonly id: number;
  readonly description: TopicDescription;
}

/** Topics as this node uses them: found or made in the backend, and made known to every lane. */
export class NodeTopics {
  private readonly parts: NodeTopicsParts;
  private readonly told = new Map<number, string>();
  private readonly opening = new Map<string, Promise<NodeTopic>>();

  constructor(parts: NodeTopicsParts) {
    this.parts = parts;
  }

  /** Tells the lanes of every topic that the node knows from before. */
  async restore(): Promise<void> {
    for (const topic of this.parts.catalog.list('')) await this.tell(topic);
  }

  /**
   * Finds a topic, or makes it where the node and the asker may.
   * @throws what `openTopic` of the backend throws
   */
  open(name: string, mayCreate: boolean): Promise<NodeTopic> {
    checkTopicName(name);
    const autoCreate = mayCreate && this.parts.autoCreate;
    const key = `${autoCreate} ${name}`;
    const known = this.opening.get(key);
    if (known !== undefined) return known;
    const opening = this.openOnce(name, autoCreate).finally(() => this.opening.delete(key));
    this.opening.set(key, opening);
    return opening;
  }

  /** Largest message of a topic, key + headers + value, in bytes. */
  messageBytesMax(description: TopicDescription): number {
    return this.parts.messageBytesMax(description.messageBytesMax);
  }

  /** The backend describes a topic anew: tells the lanes what changed. */
  async refresh(name: string): Promise<void> {
    const topic = this.parts.catalog.get(name);
    if (topic !== undefined && this.told.has(topic.id)) await this.tell(topic);
  }

  /** Tells the lanes of a topic of ours, which is in the catalog; answers its id. */
  async adopt(name: string): Promise<number> {
    const topic = this.parts.catalog.get(name);
    if (topic === undefined) throw coded('INTERNAL', `topic ${name} is not noted`);
    await this.tell(topic);
    return topic.id;
  }

  private async openOnce(name: string, autoCreate: boolean): Promise<NodeTopic> {
    const { backend, catalog } = this.parts;
    const description = await openTopic(backend, name, { autoCreate });
    const topic = catalog.get(name);
    if (topic === undefined) throw coded('INTERNAL', `topic ${name} was opened but not noted`);
    if (topic.id > limits.topicsMax) {
      throw coded('TOO_MANY_TOPICS', `this node has ${limits.topicsMax} topics, its most`);
    }
    await this.tell(topic);
    return { id: topic.id, description };
  }

  private async tell(topic: CatalogTopic): Promise<void> {
    const known = topic.clusters['primary'];
    if (known === undefined) return;
    const told: LaneTopic = {
      id: topic.id,
      name: topic.name,
      partitions: known.partitions,
      messageBytesMax: this.parts.messageBytesMax(known.messageBytesMax),
      batchBytesMax: known.messageBytesMax,
      idHeader: this.parts.idHeader(topic.name),
      isPatient: this.parts.isPatient(topic.name),
    };
    const said = JSON.stringify(told);
    if (this.told.get(topic.id) === said) return;
    await Promise.all(this.parts.lanes.map((lane) => lane.call('setTopic', told)));
    this.told.set(topic.id, said);
  }
}
