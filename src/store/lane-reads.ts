import type { KeyValueStore } from './key-value-store.ts';
import { isCorruption, MappedErrors } from './mapped-errors.ts';
import { asCorrupt } from './recovery.ts';

/**
 * A lane's store whose reads say `STORE_CORRUPT`, with the lane, where the binding finds a block
 * that is not what was written. One binding checks blocks whenever it reads, the other leaves it to
 * the records' own checksums.
 */
export function laneReads(kv: KeyValueStore, lane: number): KeyValueStore {
  return new MappedErrors(kv, {
    read: (error) => (isCorruption(error) ? asCorrupt(lane, error) : error),
  });
}
