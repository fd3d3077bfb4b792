import assert from 'node:assert';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type CodedError, coded, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Catalog, CatalogTopic, ClusterTopic, TopicMetadata } from './port.ts';
import { parseTopics, renderTopics } from './topics-file.ts';

/** The catalog in one JSON file, replaced whole and atomically at each change. */
export class FileCatalog implements Catalog {
  readonly #path: string;
  /** What is on the disk, and so may be used. */
  readonly #byName = new Map<string, CatalogTopic>();
  readonly #byId = new Map<number, CatalogTopic>();
  /** What the next write will put there. */
  readonly #noted = new Map<string, CatalogTopic>();
  #nextId: number;
  #failure: CodedError | undefined;
  /** The write under way, and the one that will carry what was noted meanwhile. */
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  private constructor(path: string, nextId: number, topics: readonly CatalogTopic[]) {
    this.#path = path;
    this.#nextId = nextId;
    for (const topic of topics) this.#noted.set(topic.name, topic);
    this.#publish(topics);
  }

  /**
   * Reads the file at `path`; a missing one is an empty catalog.
   *
   * @throws CATALOG_CORRUPT when the file is not what was written; CATALOG_FAILED on an I/O error.
   */
  static async open(path: string): Promise<FileCatalog> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return new FileCatalog(path, 1, []);
      }
      throw coded('CATALOG_FAILED', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
    }
    const { nextId, topics } = parseTopics(text, path);
    return new FileCatalog(path, nextId, topics);
  }

  get(name: string): CatalogTopic | undefined {
    return this.#byName.get(name);
  }

  byId(id: number): CatalogTopic | undefined {
    return this.#byId.get(id);
  }

  confirmed(name: string, cluster: string): boolean {
    return this.#byName.get(name)?.clusters[cluster]?.confirmed ?? false;
  }

  list(prefix: string): CatalogTopic[] {
    const found = [...this.#byName.values()].filter((topic) => topic.name.startsWith(prefix));
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async record(name: string, cluster: string, metadata: TopicMetadata): Promise<CatalogTopic> {
    const known = this.#noted.get(name);
    const seen: ClusterTopic = { ...pick(metadata), confirmed: true };
    if (known === undefined || !sameClusterTopic(known.clusters[cluster], seen)) {
      const id = known?.id ?? this.#takeId(name);
      this.#noted.set(name, { id, name, clusters: { ...known?.clusters, [cluster]: seen } });
      await this.#save();
    } else if (this.#byName.get(name) !== known) {
      await this.#settled();
    }
    const topic = this.#byName.get(name);
    assert(topic !== undefined);
    return topic;
  }

  async unconfirm(name: string, cluster: string): Promise<void> {
    const known = this.#noted.get(name);
    const seen = known?.clusters[cluster];
    if (known === undefined || seen === undefined || !seen.confirmed) return;
    const clusters = { ...known.clusters, [cluster]: { ...seen, confirmed: false } };
    this.#noted.set(name, { ...known, clusters });
    await this.#save();
  }

  async close(): Promise<void> {
    await this.#settled();
  }

  /** Resolves when all that was noted is on the disk. */
  async #settled(): Promise<void> {
    await (this.#next ?? this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #takeId(name: string): number {
    if (this.#nextId > limits.topicsMax) {
      throw coded(
        'TOO_MANY_TOPICS',
        `no id is left for topic ${name}: a node knows at most ` +
          `${limits.topicsMax} topics in its life`,
      );
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  #publish(topics: readonly CatalogTopic[]): void {
    for (const topic of topics) {
      this.#byName.set(topic.name, topic);
      this.#byId.set(topic.id, topic);
    }
  }

  /** One write runs at a time; all that is noted while it runs shares the next one. */
  #save(): Promise<void> {
    this.#next ??= this.#writeAfter(this.#running);
    return this.#next;
  }

  async #writeAfter(before: Promise<void> | undefined): Promise<void> {
    // The turn between makes one write of what is noted in the same breath.
    await (before?.catch(() => undefined) ?? Promise.resolve());
    this.#running = this.#next;
    this.#next = undefined;
    try {
      await this.#write();
    } finally {
      this.#running = undefined;
    }
  }

  async #write(): Promise<void> {
    // After a failed fsync nobody knows what is on the disk, so no later write may claim success.
    if (this.#failure !== undefined) throw this.#failure;
    const topics = [...this.#noted.values()];
    try {
      await replaceFile(this.#path, renderTopics(this.#nextId, topics));
    } catch (error) {
      this.#failure = coded('CATALOG_FAILED', `cannot write ${this.#path}: ${messageOf(error)}`, {
        cause: error,
        hint: 'Free or repair the disk of the data folder, then start the node again.',
      });
      throw this.#failure;
    }
    this.#publish(topics);
  }
}

/** Writes beside, syncs, renames over, and syncs the folder: old or new, never half. */
async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  const file = await open(beside, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The fields of the metadata and no others: callers may hand in a wider object. */
function pick(metadata: TopicMetadata): TopicMetadata {
  const { partitions, messageBytesMax, replicationFactor, minInsyncReplicas } = metadata;
  const config = { ...metadata.config };
  return { partitions, messageBytesMax, replicationFactor, minInsyncReplicas, config };
}

function sameClusterTopic(a: ClusterTopic | undefined, b: ClusterTopic): boolean {
  return (
    a !== undefined &&
    a.confirmed === b.confirmed &&
    a.partitions === b.partitions &&
    a.messageBytesMax === b.messageBytesMax &&
    a.replicationFactor === b.replicationFactor &&
    a.minInsyncReplicas === b.minInsyncReplicas &&
    sameConfig(a.config, b.config)
  );
}

function sameConfig(a: ClusterTopic['config'], b: ClusterTopic['config']): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
