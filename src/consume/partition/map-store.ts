import type { LeasesPlace, MapPlace } from '../../offsets/commit-metadata.ts';
import type { OffsetMerger } from '../../offsets/offset-merger.ts';
import type { OpenLease } from '../../offsets/open-leases.ts';
import type { ConsumePartition } from './partition.ts';

/** Whose map it is. */
export type MapOwner = Pick<ConsumePartition, 'cluster' | 'topic' | 'partition'>;

/** Leases that stand in a record, and its key. */
export interface LeaseRecord {
  readonly leases: readonly OpenLease[];
  readonly key: Buffer;
}

/** Where ack maps and open leases go that are too large for a commit. */
export interface MapStore {
  /** Makes or checks where maps are kept. @throws ROLE_REFUSED, BACKEND_UNAVAILABLE */
  ensure(): Promise<void>;
  /**
   * Writes what changed of a partition's map; resolves with the place of its head. The head says
   * what is acked above the floor of one moment, while acks go on: `atHead` is called in that
   * moment, to read the floor that is committed with it.
   */
  write(group: string, partition: ConsumePartition, atHead: () => void): Promise<MapPlace>;
  /** A commit of the partition was taken: what it named of these counts from now on. */
  committed(group: string, partition: ConsumePartition): void;
  /**
   * Reads a map; what it answers puts it into a merger.
   * @throws MALFORMED_MAP when it is not there, or another one
   */
  read(group: string, of: MapOwner, at: MapPlace): Promise<(merger: OffsetMerger) => void>;
  /** Writes open leases, for the next commit of the partition to name. */
  writeLeases(
    group: string,
    partition: ConsumePartition,
    leases: readonly OpenLease[],
  ): Promise<LeasesPlace>;
  /** Reads open leases. @throws MALFORMED_MAP when they are not there, or others */
  readLeases(group: string, of: MapOwner, at: LeasesPlace): Promise<LeaseRecord>;
}
