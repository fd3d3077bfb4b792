import { createHash } from 'node:crypto';
import { coded } from '../base/errors.ts';
import type { CatalogTopic, ClusterTopic } from './port.ts';

const format = 1;

/** What the file holds. */
export interface TopicsFile {
  /** The id the next topic gets; above every id ever given. */
  readonly nextId: number;
  readonly topics: readonly CatalogTopic[];
}

/** The text of the topics file; one line per topic, so that a diff can be read. */
export function renderTopics(nextId: number, topics: Iterable<CatalogTopic>): string {
  const lines = [...topics].map((topic) => JSON.stringify(topic));
  const head = `{"format":${format},"nextId":${nextId},"sha256":"${digest(nextId, lines)}"`;
  return `${head},"topics":[\n${lines.join(',\n')}\n]}\n`;
}

/**
 * Reads what {@link renderTopics} made. `path` is for the message.
 *
 * @throws CATALOG_CORRUPT when it was changed or cut; CATALOG_NEWER when a later version made it.
 */
export function parseTopics(text: string, path: string): TopicsFile {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (cause) {
    throw corrupt(path, 'it is not JSON', cause);
  }
  if (!isRecord(read)) throw corrupt(path, 'it holds no object');
  if (typeof read.format === 'number' && read.format > format) {
    throw coded(
      'CATALOG_NEWER',
      `${path} has format ${read.format}, this version reads ${format}`,
      {
        hint: 'Start the version that wrote it, or a later one.',
      },
    );
  }
  const { nextId, topics } = read;
  if (read.format !== format || !isCount(nextId) || !Array.isArray(topics)) {
    throw corrupt(path, 'format, nextId or topics is missing');
  }
  const lines = topics.map((topic) => JSON.stringify(topic));
  if (read.sha256 !== digest(nextId, lines)) throw corrupt(path, 'its checksum does not match');
  if (!topics.every(isTopic)) throw corrupt(path, 'a topic lacks a field');
  if (topics.some((topic) => topic.id >= nextId)) throw corrupt(path, 'nextId was already given');
  return { nextId, topics };
}

function digest(nextId: number, lines: readonly string[]): string {
  return createHash('sha256')
    .update(`${nextId}\n${lines.join('\n')}`)
    .digest('hex');
}

function corrupt(path: string, why: string, cause?: unknown): Error {
  return coded('CATALOG_CORRUPT', `the topics file ${path} cannot be trusted: ${why}`, {
    cause,
    hint: 'Restore it from a copy; without it the ids in the outbox have no names.',
  });
}

function isTopic(value: unknown): value is CatalogTopic {
  return (
    isRecord(value) &&
    isCount(value.id) &&
    typeof value.name === 'string' &&
    isRecord(value.clusters) &&
    Object.values(value.clusters).every(isClusterTopic)
  );
}

function isClusterTopic(value: unknown): value is ClusterTopic {
  return (
    isRecord(value) &&
    isCount(value.partitions) &&
    isCount(value.messageBytesMax) &&
    isCount(value.replicationFactor) &&
    isCount(value.minInsyncReplicas) &&
    isRecord(value.config) &&
    typeof value.confirmed === 'boolean'
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}
