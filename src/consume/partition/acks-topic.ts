import { createHash } from 'node:crypto';
import { RecordCursor } from '../../../protocol/src/record-cursor.ts';
import type { ConsumerBackend } from '../../backend/consumer-port.ts';
import { tailFrom } from '../../backend/port.ts';
import type {
  InternalTopicSpec,
  InternalTopics,
  Publisher,
  PublishRecord,
} from '../../backend/publisher-port.ts';
import { coded, codeOf } from '../../base/errors.ts';
import type { MapPlace } from '../../offsets/commit-metadata.ts';
import { mapFault } from '../../offsets/varint.ts';
import type { MapOwner } from './map-store.ts';

/** Log-compacted, kept for ever: the newest record of each key is all that counts. */
export const ACKS_TOPIC = '__mqproxy.acks';
export const ACKS_PARTITIONS = 16;
/** How it must be. */
export const acksTopicSpec: InternalTopicSpec = {
  name: ACKS_TOPIC,
  partitions: ACKS_PARTITIONS,
  config: { 'cleanup.policy': 'compact', 'retention.ms': '-1' },
  // The cleaner leaves the last segment alone, which has 1 GiB in each partition by default.
  madeWith: { 'segment.bytes': String(64 * 1024 * 1024) },
  replicationFactor: 'auto',
};

/** One record is always given, however long. */
const READ_BYTES = 1024;
const NONE = Buffer.alloc(0);

// key := version:u8=1 place:16 epoch:u48 part:u48 slot:u8
//        place := the first 16 bytes of SHA-256(cluster, group, topic, partition)
//        part  := the chunk of an ack map, 2^48 - 1: its head, 2^48 - 2: open leases
// What the last commit names is never written over: each part has two keys, by its slot, and
// compaction keeps both. So a commit always finds its records, also after a crash before the next.

export const HEAD_PART = 2 ** 48 - 1;
export const LEASES_PART = 2 ** 48 - 2;
const KEY_BYTES = 30;

/** Whose record it is. */
export interface RecordOwner {
  readonly group: string;
  readonly of: MapOwner;
}

/** A record and its key; both *owned* by the caller. */
export interface AcksRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** What an {@link AcksTopic} is made of: one cluster's ports. */
export interface AcksTopicOptions {
  readonly backend: ConsumerBackend;
  readonly publisher: Publisher;
  readonly topics: InternalTopics;
}

/** The topic of what is too large for a commit: records that commits name by their places. */
export class AcksTopic {
  readonly #options: AcksTopicOptions;
  #ready: Promise<void> | undefined;
  #life = 0;
  /** The highest offset of each partition that this node has written. */
  readonly #highest = new Float64Array(ACKS_PARTITIONS).fill(-1);

  constructor(options: AcksTopicOptions) {
    this.#options = options;
  }

  /** It was found gone, or made anew, so many times: what an earlier one had is nowhere. */
  get life(): number {
    return this.#life;
  }

  /** Makes or checks the topic. @throws ROLE_REFUSED */
  ensure(): Promise<void> {
    this.#ready ??= this.#options.topics.ensure(acksTopicSpec).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  /** Writes records; their places. @throws as the cluster refuses one */
  async write(records: readonly AcksRecord[]): Promise<MapPlace[]> {
    if (records.length === 0) return [];
    const before = Float64Array.from(this.#highest);
    const published = records.map(({ key, value }) => recordOf(key, value));
    const results = await this.#options.publisher.publish(published);
    return results.map((result) => {
      if ('code' in result) {
        if (result.code === 'UNKNOWN_TOPIC') this.#gone();
        throw coded(result.code, `an ack map was not taken: ${result.message}`);
      }
      const { partition, offset } = result;
      if (offset < 0) throw coded('BACKEND_UNAVAILABLE', 'the place of an ack map is unknown');
      if (offset <= (before[partition] as number)) {
        this.#gone();
        throw coded('BACKEND_UNAVAILABLE', `${ACKS_TOPIC} was made anew: maps are written again`);
      }
      this.#highest[partition] = Math.max(this.#highest[partition] as number, offset);
      return { partition, offset };
    });
  }

  /** Lets the cleaner take what no commit names; one that is lost leaves what nobody reads. */
  bury(keys: readonly Buffer[]): void {
    if (keys.length === 0) return;
    const tombstones = keys.map((key) => recordOf(key, null));
    this.#options.publisher.publish(tombstones).catch(() => {});
  }

  /**
   * The first record that is read for a commit: a topic that is gone has taken it with it, which
   * shows once the topic is there again.
   */
  async first(owner: RecordOwner, part: number, at: MapPlace): Promise<AcksRecord> {
    try {
      return await this.read(owner, part, at);
    } catch (error) {
      if (codeOf(error) !== 'UNKNOWN_TOPIC') throw error;
      this.#gone();
      await this.ensure();
      return await this.read(owner, part, at);
    }
  }

  /** One record. @throws MALFORMED_MAP when it is not there, or another one */
  async read(
    owner: RecordOwner,
    part: number,
    { partition, offset }: MapPlace,
  ): Promise<AcksRecord> {
    if (partition >= ACKS_PARTITIONS) throw mapFault(`partition ${partition} of ${ACKS_TOPIC}`);
    const at = { topic: ACKS_TOPIC, partition, from: tailFrom.offset, position: offset };
    const read = await this.#options.backend
      .tail({ ...at, bytesMax: READ_BYTES, waitMs: 0 })
      .catch((error: unknown) => {
        if (codeOf(error) !== 'OFFSET_OUT_OF_RANGE') throw error;
        throw mapFault(`record ${offset} of partition ${partition} is gone`);
      });
    const { buffer, byteOffset, byteLength } = read.records;
    const cursor = new RecordCursor('ack map');
    cursor.start(Buffer.from(buffer, byteOffset, byteLength), 0, byteLength, read.count);
    while (cursor.next()) {
      const { key, value } = cursor;
      if (cursor.offset === offset && value !== null) {
        // In a topic that was made anew there is something else at the old place.
        if (key !== undefined && isKeyOf(key, owner, part)) {
          return { key: Buffer.from(key), value: Buffer.from(value) };
        }
        throw mapFault(`record ${offset} of partition ${partition} is of another map`);
      }
      if (cursor.offset > offset) break;
    }
    if (read.nextOffset <= offset && read.endOffset > offset) {
      throw coded('BACKEND_UNAVAILABLE', `record ${offset} of ${ACKS_TOPIC} did not come in time`);
    }
    throw mapFault(`record ${offset} of partition ${partition} is not there`);
  }

  /** The topic is made again by the next write, which writes all of its map. */
  #gone(): void {
    this.#ready = undefined;
    this.#life++;
    this.#highest.fill(-1);
  }
}

/** Which record of an owner's epoch; `slot` is 0 or 1. */
export interface RecordName {
  readonly epoch: number;
  readonly part: number;
  readonly slot: number;
}

export function keyOf({ group, of }: RecordOwner, { epoch, part, slot }: RecordName): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  key[0] = 1;
  placeOf(group, of).copy(key, 1);
  key.writeUIntBE(epoch, 17, 6);
  key.writeUIntBE(part, 23, 6);
  key[KEY_BYTES - 1] = slot;
  return key;
}

/** Both keys of what a key names. */
export function slotsOf(key: Buffer): Buffer[] {
  return [0, 1].map((slot) => Buffer.concat([key.subarray(0, KEY_BYTES - 1), Buffer.of(slot)]));
}

function recordOf(key: Buffer, value: Buffer | null): PublishRecord {
  const partition = (key[1] as number) % ACKS_PARTITIONS;
  return { topic: ACKS_TOPIC, partition, key, value, headers: NONE };
}

function isKeyOf(key: Buffer, { group, of }: RecordOwner, part: number): boolean {
  if (key.length !== KEY_BYTES || key.readUIntBE(23, 6) !== part) return false;
  // It may be written by a node to which this cluster was the other one of two.
  return ([0, 1] as const).some((cluster) =>
    placeOf(group, { ...of, cluster }).equals(key.subarray(1, 17)),
  );
}

function placeOf(group: string, { cluster, topic, partition }: MapOwner): Buffer {
  const text = `${cluster}\0${group}\0${topic}\0${partition}`;
  return createHash('sha256').update(text).digest().subarray(0, 16);
}
