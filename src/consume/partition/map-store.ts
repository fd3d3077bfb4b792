import type { MapPlace } from '../../offsets/commit-metadata.ts';
import type { OffsetMerger } from '../../offsets/offset-merger.ts';
import type { ConsumePartition } from './partition.ts';

/** Whose map it is. */
export type MapOwner = Pick<ConsumePartition, 'cluster' | 'topic' | 'partition'>;

/** Where ack maps go that are too large for a commit. */
export interface MapStore {
  /** Makes or checks where maps are kept. @throws ROLE_REFUSED, BACKEND_UNAVAILABLE */
  ensure(): Promise<void>;
  /**
   * Writes what changed of a partition's map; resolves with the place of its head. The head says
   * what is acked above the floor of one moment, while acks go on: `atHead` is called in that
   * moment, to read the floor that is committed with it.
   */
  write(group: string, partition: ConsumePartition, atHead: () => void): Promise<MapPlace>;
  /** A commit of the partition was taken; when it named a map, that one counts from now on. */
  committed(group: string, partition: ConsumePartition): void;
  /**
   * Reads a map; what it answers puts it into a merger.
   * @throws MALFORMED_MAP when it is not there, or another one
   */
  read(group: string, of: MapOwner, at: MapPlace): Promise<(merger: OffsetMerger) => void>;
}
