import { encodeAckChunk, loadAckChunk } from '../../offsets/ack-map.ts';
import { CHUNK_SEQUENCES } from '../../offsets/bits.ts';
import type { LeasesPlace, MapPlace } from '../../offsets/commit-metadata.ts';
import type { OffsetMerger } from '../../offsets/offset-merger.ts';
import type { OpenLease } from '../../offsets/open-leases.ts';
import { mapFault, VarintReader, writeVarint } from '../../offsets/varint.ts';
import {
  type AcksRecord,
  AcksTopic,
  type AcksTopicOptions,
  HEAD_PART,
  keyOf,
  slotsOf,
} from './acks-topic.ts';
import { LeaseRecords } from './lease-records.ts';
import type { LeaseRecord, MapOwner, MapStore } from './map-store.ts';
import type { ConsumePartition } from './partition.ts';

const HEAD_VERSION = 1;

// head := version:u8=1 count:varint (chunk-before:varint kind:varint [partition:varint
//         offset:varint])*      kind 0: every offset of the chunk is acked, 1: in a record

interface Stored {
  readonly slot: number;
  readonly place: MapPlace;
}

interface MapState {
  /** Of the topic: what an earlier one had is nowhere. */
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
}

/** Ack maps and open leases that are too large for a commit, in a topic of their own. */
export class AckMapStore implements MapStore {
  readonly #topic: AcksTopic;
  readonly #leases: LeaseRecords;
  readonly #states = new WeakMap<ConsumePartition, MapState>();

  constructor(options: AcksTopicOptions) {
    this.#topic = new AcksTopic(options);
    this.#leases = new LeaseRecords(this.#topic);
  }

  ensure(): Promise<void> {
    return this.#topic.ensure();
  }

  async write(group: string, partition: ConsumePartition, atHead: () => void): Promise<MapPlace> {
    await this.#topic.ensure();
    const owner = { group, of: partition };
    const { epoch } = partition;
    const state = this.#stateOf(partition);
    const { merger } = partition.window;
    this.#gather(merger, state);
    const changed = [...state.dirty];
    const records: AcksRecord[] = [];
    const slots: number[] = [];
    for (const part of changed) {
      const words = merger.wordsOf(part);
      if (words === undefined || merger.isFull(part)) continue;
      const slot = 1 - (state.committed.get(part)?.slot ?? 1);
      slots.push(part, slot);
      records.push({ key: keyOf(owner, { epoch, part, slot }), value: encodeAckChunk(words) });
    }
    const places = await this.#topic.write(records);
    for (const [i, at] of places.entries()) {
      const slot = slots[i * 2 + 1] as number;
      state.written.set(slots[i * 2] as number, { slot, place: at });
    }
    for (const chunk of changed) state.dirty.delete(chunk);
    state.headSlot = 1 - state.committedSlot;
    const key = keyOf(owner, { epoch, part: HEAD_PART, slot: state.headSlot });
    // Acks came while the chunks went out: the head begins at the floor of now.
    atHead();
    const head = encodeHead(merger, state.written, state.named);
    const [at] = await this.#topic.write([{ key, value: head }]);
    return at as MapPlace;
  }

  committed(group: string, partition: ConsumePartition): void {
    const garbage = this.#leases.committed(group, partition);
    const state = this.#states.get(partition);
    if (state !== undefined) garbage.push(...this.#committed(group, partition, state));
    this.#topic.bury(garbage);
  }

  /** A commit counts: the keys of chunks that none names any more. */
  #committed(group: string, partition: ConsumePartition, state: MapState): Buffer[] {
    const garbage: Buffer[] = [];
    const owner = { group, of: partition };
    const { epoch } = partition;
    const floorChunk = Math.floor(partition.committedFloor / CHUNK_SEQUENCES);
    for (const part of state.written.keys()) {
      // One that has become full since is still read from its record, as the head says.
      const isNamed = state.named.has(part) || !partition.window.merger.isFull(part);
      if (part >= floorChunk && isNamed) continue;
      garbage.push(...slotsOf(keyOf(owner, { epoch, part, slot: 0 })));
      state.written.delete(part);
    }
    state.committed = new Map(state.written);
    state.committedSlot = state.headSlot;
    return garbage;
  }

  async read(group: string, of: MapOwner, at: MapPlace): Promise<(merger: OffsetMerger) => void> {
    const owner = { group, of };
    const { value: head } = await this.#topic.first(owner, HEAD_PART, at);
    const chunks: { chunk: number; bytes: Buffer | undefined }[] = [];
    const reader = new VarintReader(head, 1);
    if (head[0] !== HEAD_VERSION) throw mapFault(`version ${head[0]} of a map's head`);
    let chunk = 0;
    for (let left = reader.next(); left > 0; left--) {
      chunk += reader.next();
      if (reader.next() === 0) chunks.push({ chunk, bytes: undefined });
      else {
        const at = { partition: reader.next(), offset: reader.next() };
        chunks.push({ chunk, bytes: (await this.#topic.read(owner, chunk, at)).value });
      }
    }
    return (merger) => {
      for (const { chunk: index, bytes } of chunks) {
        if (bytes !== undefined) loadAckChunk(bytes, index, merger);
        else merger.confirm(index * CHUNK_SEQUENCES, CHUNK_SEQUENCES);
      }
    };
  }

  writeLeases(
    group: string,
    partition: ConsumePartition,
    leases: readonly OpenLease[],
  ): Promise<LeasesPlace> {
    return this.#leases.write(group, partition, leases);
  }

  readLeases(group: string, of: MapOwner, at: LeasesPlace): Promise<LeaseRecord> {
    return this.#leases.read({ group, of }, at);
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
    if (known?.life === this.#topic.life) return known;
    const state: MapState = {
      life: this.#topic.life,
      committed: new Map(),
      written: new Map(),
      named: new Set(),
      dirty: new Set(),
      committedSlot: 1,
      headSlot: 1,
    };
    this.#states.set(partition, state);
    return state;
  }
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
