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
import { encodeAckChunk, loadAckChunk } from '../../offsets/ack-map.ts';
import { CHUNK_SEQUENCES } from '../../offsets/bits.ts';
import type { MapPlace } from '../../offsets/commit-metadata.ts';
import type { OffsetMerger } from '../../offsets/offset-merger.ts';
import { mapFault, VarintReader, writeVarint } from '../../offsets/varint.ts';
import type { MapOwner, MapStore } from './map-store.ts';
import type { ConsumePartition } from './partition.ts';

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

const HEAD_VERSION = 1;
/** One record is always given, however long. */
const READ_BYTES = 1024;
const NONE = Buffer.alloc(0);

// key  := version:u8=1 place:16 epoch:u48 chunk:u48 (2^48 - 1: the head) slot:u8
//         place := the first 16 bytes of SHA-256(cluster, group, topic, partition)
// head := version:u8=1 count:varint (chunk-before:varint kind:varint [partition:varint
//         offset:varint])*      kind 0: every offset of the chunk is acked, 1: in a record
// A chunk or a head is never written over the one that the last commit names: each has two keys,
// and compaction keeps both. So a commit always finds its map, also after a crash before the next.

const HEAD_CHUNK = 2 ** 48 - 1;
const KEY_BYTES = 30;

interface Stored {
  readonly slot: number;
  readonly place: MapPlace;
}

interface MapState {
  /** Of the topic, as {@link AckMapStore} counts them: what an earlier one had is nowhere. */
  readonly life: number;
  /** What the last commit names, and what was written since. */
  committed: Map<number, Stored>;
  written: Map<number, Stored>;
  /** Chunks that the head written last names by their records. */
  readonly named: Set<number>;
  readonly dirty: Set<number>;
  /** Of the head that the last commit names, and of the one written last. */
  committedSlot: number;
  headSlot: number;
  /** Keys that no commit names any more. */
  readonly garbage: Buffer[];
}

/** What an {@link AckMapStore} is made of: one cluster's ports. */
export interface AckMapStoreOptions {
  readonly backend: ConsumerBackend;
  readonly publisher: Publisher;
  readonly topics: InternalTopics;
}

/** Ack maps that are too large for a commit, in a topic of their own. */
export class AckMapStore implements MapStore {
  readonly #options: AckMapStoreOptions;
  readonly #states = new WeakMap<ConsumePartition, MapState>();
  #ready: Promise<void> | undefined;
  /** Lives of the topic: it was found gone, or made anew, so many times. */
  #life = 0;
  /** The highest offset of each partition that this node has written. */
  readonly #highest = new Float64Array(ACKS_PARTITIONS).fill(-1);

  constructor(options: AckMapStoreOptions) {
    this.#options = options;
  }

  /** Makes or checks the topic. @throws ROLE_REFUSED */
  ensure(): Promise<void> {
    this.#ready ??= this.#options.topics.ensure(acksTopicSpec).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async write(group: string, partition: ConsumePartition, atHead: () => void): Promise<MapPlace> {
    await this.ensure();
    const place = placeOf(group, partition);
    const state = this.#stateOf(partition);
    const { merger } = partition.window;
    this.#gather(merger, state);
    const changed = [...state.dirty];
    const keys: PublishRecord[] = [];
    const slots: number[] = [];
    for (const chunk of changed) {
      const words = merger.wordsOf(chunk);
      if (words === undefined || merger.isFull(chunk)) continue;
      const slot = 1 - (state.committed.get(chunk)?.slot ?? 1);
      slots.push(chunk, slot);
      const key = keyOf(place, partition.epoch, chunk, slot);
      keys.push(this.#record(place, key, encodeAckChunk(words)));
    }
    const places = await this.#publish(keys);
    for (const [i, at] of places.entries()) {
      const slot = slots[i * 2 + 1] as number;
      state.written.set(slots[i * 2] as number, { slot, place: at });
    }
    for (const chunk of changed) state.dirty.delete(chunk);
    state.headSlot = 1 - state.committedSlot;
    const key = keyOf(place, partition.epoch, HEAD_CHUNK, state.headSlot);
    // Acks came while the chunks went out: the head begins at the floor of now.
    atHead();
    const head = encodeHead(merger, state.written, state.named);
    const [at] = await this.#publish([this.#record(place, key, head)]);
    return at as MapPlace;
  }

  committed(group: string, partition: ConsumePartition): void {
    const state = this.#states.get(partition);
    if (state === undefined) return;
    const place = placeOf(group, partition);
    const floorChunk = Math.floor(partition.committedFloor / CHUNK_SEQUENCES);
    for (const [chunk, { slot }] of state.written) {
      // One that has become full since is still read from its record, as the head says.
      const isNamed = state.named.has(chunk) || !partition.window.merger.isFull(chunk);
      if (chunk >= floorChunk && isNamed) continue;
      state.garbage.push(keyOf(place, partition.epoch, chunk, slot));
      state.garbage.push(keyOf(place, partition.epoch, chunk, 1 - slot));
      state.written.delete(chunk);
    }
    state.committed = new Map(state.written);
    state.committedSlot = state.headSlot;
    const tombstones = state.garbage.splice(0).map((key) => this.#record(place, key, null));
    // One that is lost leaves a record that nobody reads.
    if (tombstones.length > 0) this.#options.publisher.publish(tombstones).catch(() => {});
  }

  async read(
    group: string,
    owner: MapOwner,
    at: MapPlace,
  ): Promise<(merger: OffsetMerger) => void> {
    const place = { group, owner };
    const head = await this.#head(place, at);
    const chunks: { chunk: number; bytes: Buffer | undefined }[] = [];
    const reader = new VarintReader(head, 1);
    if (head[0] !== HEAD_VERSION) throw mapFault(`version ${head[0]} of a map's head`);
    let chunk = 0;
    for (let left = reader.next(); left > 0; left--) {
      chunk += reader.next();
      if (reader.next() === 0) chunks.push({ chunk, bytes: undefined });
      else {
        const at = { partition: reader.next(), offset: reader.next() };
        chunks.push({ chunk, bytes: await this.#value(place, chunk, at) });
      }
    }
    return (merger) => {
      for (const { chunk: index, bytes } of chunks) {
        if (bytes !== undefined) loadAckChunk(bytes, index, merger);
        else merger.confirm(index * CHUNK_SEQUENCES, CHUNK_SEQUENCES);
      }
    };
  }

  /** Every chunk counts as changed the first time: nothing of this epoch is stored yet. */
  #gather(merger: OffsetMerger, state: MapState): void {
    for (const chunk of merger.takeDirty()) state.dirty.add(chunk);
    for (let from = merger.nextConfirmed(merger.floor); from >= 0; ) {
      const chunk = Math.floor(from / CHUNK_SEQUENCES);
      if (!state.written.has(chunk)) state.dirty.add(chunk);
      from = merger.nextConfirmed((chunk + 1) * CHUNK_SEQUENCES);
    }
  }

  #stateOf(partition: ConsumePartition): MapState {
    const known = this.#states.get(partition);
    if (known?.life === this.#life) return known;
    const state: MapState = {
      life: this.#life,
      committed: new Map(),
      written: new Map(),
      named: new Set(),
      dirty: new Set(),
      committedSlot: 1,
      headSlot: 1,
      garbage: [],
    };
    this.#states.set(partition, state);
    return state;
  }

  #record(place: Buffer, key: Buffer, value: Buffer | null): PublishRecord {
    const partition = (place[0] as number) % ACKS_PARTITIONS;
    return { topic: ACKS_TOPIC, partition, key, value, headers: NONE };
  }

  async #publish(records: readonly PublishRecord[]): Promise<MapPlace[]> {
    if (records.length === 0) return [];
    const before = Float64Array.from(this.#highest);
    const results = await this.#options.publisher.publish(records);
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

  /** The topic is made again by the next write, which writes all of its map. */
  #gone(): void {
    this.#ready = undefined;
    this.#life++;
    this.#highest.fill(-1);
  }

  /** A topic that is gone has taken the map with it: that shows once it is there again. */
  async #head(place: Whose, at: MapPlace): Promise<Buffer> {
    try {
      return await this.#value(place, HEAD_CHUNK, at);
    } catch (error) {
      if (codeOf(error) !== 'UNKNOWN_TOPIC') throw error;
      this.#gone();
      await this.ensure();
      return await this.#value(place, HEAD_CHUNK, at);
    }
  }

  /** The value of one record. @throws MALFORMED_MAP when it is not there, or another one */
  async #value(of: Whose, chunk: number, { partition, offset }: MapPlace): Promise<Buffer> {
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
      if (cursor.offset === offset && cursor.value !== null) {
        // In a topic that was made anew there is something else at the old place.
        if (isKeyOf(cursor.key, of, chunk)) return Buffer.from(cursor.value);
        throw mapFault(`record ${offset} of partition ${partition} is of another map`);
      }
      if (cursor.offset > offset) break;
    }
    if (read.nextOffset <= offset && read.endOffset > offset) {
      throw coded('BACKEND_UNAVAILABLE', `record ${offset} of ${ACKS_TOPIC} did not come in time`);
    }
    throw mapFault(`record ${offset} of partition ${partition} is not there`);
  }
}

/** Whose map is read. */
interface Whose {
  readonly group: string;
  readonly owner: MapOwner;
}

function isKeyOf(key: Buffer | undefined, { group, owner }: Whose, chunk: number): boolean {
  if (key?.length !== KEY_BYTES || key.readUIntBE(23, 6) !== chunk) return false;
  // It may be written by a node to which this cluster was the other one of two.
  return ([0, 1] as const).some((cluster) =>
    placeOf(group, { ...owner, cluster }).equals(key.subarray(1, 17)),
  );
}

function encodeHead(
  merger: OffsetMerger,
  written: ReadonlyMap<number, Stored>,
  named: Set<number>,
): Buffer {
  named.clear();
  const chunks: number[] = [];
  for (let from = merger.nextConfirmed(merger.floor); from >= 0; ) {
    const chunk = Math.floor(from / CHUNK_SEQUENCES);
    if (written.has(chunk) || merger.isFull(chunk)) chunks.push(chunk);
    from = merger.nextConfirmed((chunk + 1) * CHUNK_SEQUENCES);
  }
  const bytes = Buffer.allocUnsafe(16 + chunks.length * 32);
  bytes[0] = HEAD_VERSION;
  let at = writeVarint(bytes, 1, chunks.length);
  let before = 0;
  for (const chunk of chunks) {
    at = writeVarint(bytes, at, chunk - before);
    before = chunk;
    const stored = written.get(chunk);
    if (merger.isFull(chunk) || stored === undefined) {
      at = writeVarint(bytes, at, 0);
      continue;
    }
    named.add(chunk);
    at = writeVarint(bytes, at, 1);
    at = writeVarint(bytes, at, stored.place.partition);
    at = writeVarint(bytes, at, stored.place.offset);
  }
  return bytes.subarray(0, at);
}

function placeOf(group: string, { cluster, topic, partition }: MapOwner): Buffer {
  const text = `${cluster}\0${group}\0${topic}\0${partition}`;
  return createHash('sha256').update(text).digest().subarray(0, 16);
}

function keyOf(place: Buffer, epoch: number, chunk: number, slot: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  key[0] = 1;
  place.copy(key, 1);
  key.writeUIntBE(epoch, 17, 6);
  key.writeUIntBE(chunk, 23, 6);
  key[29] = slot;
  return key;
}
