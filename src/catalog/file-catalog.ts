import assert from 'node:assert';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { type CodedError, coded, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Catalog, CatalogTopic, ClusterTopic, TopicMetadata } from './port.ts';
import { parseTopics, renderTopics } from './topics-file.ts';

/** When to try again after a write that failed, in ms. */
const RETRY_MS = 1_000;
/** The most that the catalog itself waits with that, in ms. */
const RETRY_MAX_MS = 30_000;

/** The catalog in one JSON file, replaced whole and atomically at each change. */
export class FileCatalog implements Catalog {
  readonly #path: string;
  readonly #clock: Clock;
  /** What is on the disk, and so may be used. */
  readonly #byName = new Map<string, CatalogTopic>();
  readonly #byId = new Map<number, CatalogTopic>();
  /** What the next write will put there. */
  readonly #noted = new Map<string, CatalogTopic>();
  #nextId: number;
  /** That of the file. */
  #savedNextId: number;
  #failure: CodedError | undefined;
  /** Nobody knows what is on the disk, so no later write may claim success. */
  #isLost = false;
  /** The write under way, and the one that will carry what was noted meanwhile. */
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  /** Set while a write was refused: nobody else may ask for one for a long time. */
  #retry: Timer | undefined;
  #retryMs = RETRY_MS;

  private constructor(
    path: string,
    clock: Clock,
    { nextId, topics }: { readonly nextId: number; readonly topics: readonly CatalogTopic[] },
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#nextId = nextId;
    this.#savedNextId = nextId;
    for (const topic of topics) this.#noted.set(topic.name, topic);
    this.#publish(topics);
  }

  /**
   * Reads the file at `path`; a missing one is an empty catalog. A write that is refused is tried
   * again by `clock`.
   *
   * @throws CATALOG_CORRUPT when the file is not what was written; CATALOG_FAILED on an I/O error.
   */
  static async open(path: string, clock: Clock): Promise<FileCatalog> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        return new FileCatalog(path, clock, { nextId: 1, topics: [] });
      }
      throw coded('CATALOG_FAILED', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
    }
    return new FileCatalog(path, clock, parseTopics(text, path));
  }

  /** Why the last write failed; undefined once one has gone through. */
  get failure(): CodedError | undefined {
    return this.#failure;
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
      // The write that was to bring it failed, and the one behind it did not.
      const stands = sameClusterTopic(this.#byName.get(name)?.clusters[cluster], seen);
      if (!stands) return this.record(name, cluster, metadata);
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
    try {
      await this.#settled();
    } finally {
      this.#retry?.cancel();
    }
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
    if (this.#isLost) throw this.#failure;
    const topics = [...this.#noted.values()];
    const nextId = this.#nextId;
    let folder: FileHandle;
    try {
      folder = await replace(this.#path, renderTopics(nextId, topics));
    } catch (error) {
      const options = { cause: error, retryAfterMs: RETRY_MS };
      this.#failure = coded('RETRY_LATER', this.#words(error, 'it is tried again'), options);
      this.#takeBack(topics);
      this.#tryLater();
      throw this.#failure;
    }
    try {
      await syncAndClose(folder);
    } catch (error) {
      this.#isLost = true;
      const words = this.#words(error, 'then start the node again');
      this.#failure = coded('CATALOG_FAILED', words, { cause: error });
      throw this.#failure;
    }
    this.#failure = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#retryMs = RETRY_MS;
    this.#savedNextId = nextId;
    this.#publish(topics);
  }

  #words(error: unknown, then: string): string {
    const words = `cannot write ${this.#path}: ${messageOf(error)}`;
    return `${words}. Free or repair the disk of the data folder; ${then}.`;
  }

  /** Less and less often, until a write goes through. */
  #tryLater(): void {
    if (this.#retry !== undefined) return;
    this.#retry = this.#clock.setTimer(() => {
      this.#retry = undefined;
      void this.#save().catch(() => undefined);
    }, this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MAX_MS);
  }

  /** The old file is whole: what was refused was never noted, unless it changed again meanwhile. */
  #takeBack(topics: readonly CatalogTopic[]): void {
    for (const topic of topics) {
      const { name } = topic;
      if (this.#noted.get(name) !== topic) continue;
      const before = this.#byName.get(name);
      if (before === undefined) this.#noted.delete(name);
      else this.#noted.set(name, before);
    }
    // Ids are few and used once: nobody has seen those.
    this.#nextId = this.#savedNextId;
    for (const { id } of this.#noted.values()) this.#nextId = Math.max(this.#nextId, id + 1);
  }
}

/**
 * Writes the new file beside the old one, syncs it, and renames it over: old or new, never half.
 * Answers their folder, open and not yet synced. Until then the old file is whole.
 */
async function replace(path: string, text: string): Promise<FileHandle> {
  // Another file each time: of one whose sync has failed the system may take a second for well.
  await rm(besideOf(path), { force: true });
  const file = await open(besideOf(path), 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  const folder = await open(dirname(path), 'r');
  try {
    await rename(besideOf(path), path);
  } catch (error) {
    await folder.close();
    throw error;
  }
  return folder;
}

async function syncAndClose(folder: FileHandle): Promise<void> {
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function besideOf(path: string): string {
  return `${path}.new`;
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
