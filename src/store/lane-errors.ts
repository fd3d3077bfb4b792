import type { KeyValueStore } from './key-value-store.ts';
import { isCorruption, MappedErrors } from './mapped-errors.ts';
import { asCorrupt } from './recovery.ts';

/**
 * A lane's store that says `STORE_CORRUPT`, with the lane, where the binding finds a block that is
 * not what was written: in a read, or in a compaction, of which the next write tells. One binding
 * checks blocks whenever it reads; for the other `checkTables` does at the opening, and from then
 * on the records' own checksums.
 */
export function laneErrors(kv: KeyValueStore, lane: number): KeyValueStore {
  return new MappedErrors(kv, (error) => (isCorruption(error) ? asCorrupt(lane, error) : error));
}
