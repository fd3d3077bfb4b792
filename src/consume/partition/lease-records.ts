import type { LeasesPlace } from '../../offsets/commit-metadata.ts';
import { decodeLeaseRecord, encodeLeaseRecord, type OpenLease } from '../../offsets/open-leases.ts';
import { mapFault } from '../../offsets/varint.ts';
import { type AcksTopic, keyOf, LEASES_PART, type RecordOwner, slotsOf } from './acks-topic.ts';
import type { LeaseRecord } from './map-store.ts';
import type { ConsumePartition } from './partition.ts';

interface State {
  /** Of the topic: what an earlier one had is nowhere. */
  readonly life: number;
  /** Of the record that the last commit names, and of one that was written for the next. */
  committed: number | undefined;
  written: number | undefined;
}

/** Open leases that a commit has no room for, each time in one record. */
export class LeaseRecords {
  readonly #topic: AcksTopic;
  readonly #states = new WeakMap<ConsumePartition, State>();

  constructor(topic: AcksTopic) {
    this.#topic = topic;
  }

  /** Writes what the next commit of a partition names. */
  async write(
    group: string,
    partition: ConsumePartition,
    leases: readonly OpenLease[],
  ): Promise<LeasesPlace> {
    await this.#topic.ensure();
    const { epoch } = partition;
    const state = this.#stateOf(partition);
    const slot = 1 - (state.committed ?? 1);
    const key = keyOf({ group, of: partition }, { epoch, part: LEASES_PART, slot });
    const value = encodeLeaseRecord({ owner: partition.owner, epoch }, leases);
    const [at] = await this.#topic.write([{ key, value }]);
    state.written = slot;
    return { ...(at as LeasesPlace), epoch };
  }

  /** A commit of a partition counts: the keys of records that none names any more. */
  committed(group: string, partition: ConsumePartition): Buffer[] {
    // What an owner was left its own commits name, the first one too.
    const garbage = partition.leftIn === undefined ? [] : slotsOf(partition.leftIn);
    partition.leftIn = undefined;
    const state = this.#states.get(partition);
    if (state === undefined) return garbage;
    if (state.written === undefined && state.committed !== undefined) {
      const { epoch } = partition;
      const key = keyOf({ group, of: partition }, { epoch, part: LEASES_PART, slot: 0 });
      garbage.push(...slotsOf(key));
    }
    state.committed = state.written;
    state.written = undefined;
    return garbage;
  }

  /** What a commit names. @throws MALFORMED_MAP when it is not there, or another one */
  async read(owner: RecordOwner, at: LeasesPlace): Promise<LeaseRecord> {
    const { key, value } = await this.#topic.first(owner, LEASES_PART, at);
    const { by, leases } = decodeLeaseRecord(value);
    if (by.epoch !== at.epoch) throw mapFault(`leases of epoch ${by.epoch}, not ${at.epoch}`);
    return { leases, key };
  }

  #stateOf(partition: ConsumePartition): State {
    const { life } = this.#topic;
    const known = this.#states.get(partition);
    if (known?.life === life) return known;
    const state: State = { life, committed: undefined, written: undefined };
    this.#states.set(partition, state);
    return state;
  }
}
