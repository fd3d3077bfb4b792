import { loadAddon } from './load.ts';

/** Where the records of a packed run are; every array is owned and alone in its memory. */
export interface RecordIndex {
  readonly count: number;
  /** `count + 1` byte positions: record i is `records[starts[i]] … starts[i + 1]`. */
  readonly starts: Uint32Array;
  /** Of each record. */
  readonly offsets: Float64Array;
  /** murmur2 of each key, 0 without a key (a key whose hash is 0 is given as 1). */
  readonly keyHashes: Uint32Array;
}

const addon = loadAddon() as { indexRecords(records: Uint8Array): RecordIndex };

/**
 * Finds the records of a packed run of TAIL wire records.
 *
 * @throws RangeError when a length leads out of the bytes.
 */
export const indexRecords: (records: Uint8Array) => RecordIndex = addon.indexRecords;
