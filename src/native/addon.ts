import type { BatchBuilderConstructor } from './batch-builder.ts';
import { loadAddon } from './load.ts';

/**
 * Wakes the event loop of the thread that made it. The callback gets no arguments; rings between
 * two callbacks count as one, and a ring during a callback brings another. It does not keep the
 * process alive unless {@link ref} was called, and lives until {@link close} or the end of its
 * thread, held or not.
 */
export interface Doorbell {
  /** Known in the whole process; never used twice. */
  readonly id: number;
  /** No callback comes after it; ringing its id does nothing. */
  close(): void;
  ref(): void;
  unref(): void;
}

interface CoreAddon {
  crc32c(bytes: Uint8Array, seed?: number): number;
  murmur2(key: Uint8Array): number;
  partitionOf(key: Uint8Array, partitions: number): number;
  readonly Doorbell: new (callback: () => void) => Doorbell;
  ringDoorbell(id: number): void;
  giveBackMemory(): Promise<void>;
  endProcess(code: number): never;
  readonly BatchBuilder: BatchBuilderConstructor;
}

const addon = loadAddon() as CoreAddon;

/**
 * CRC-32C as u32. `seed` is the CRC of the bytes before:
 * `crc32c(b, crc32c(a)) === crc32c(a then b)`.
 */
export const crc32c: CoreAddon['crc32c'] = addon.crc32c;

/** The murmur2 of Kafka's Java client, as u32. */
export const murmur2: CoreAddon['murmur2'] = addon.murmur2;

/** The partition Kafka's Java client gives a key: `(murmur2(key) & 0x7fffffff) % partitions`. */
export const partitionOf: CoreAddon['partitionOf'] = addon.partitionOf;

export const Doorbell: CoreAddon['Doorbell'] = addon.Doorbell;

/** Rings a {@link Doorbell} by its id, from any thread; an id that is unknown does nothing. */
export const ringDoorbell: CoreAddon['ringDoorbell'] = addon.ringDoorbell;

/**
 * Gives back to the system what the allocator keeps of freed memory (glibc's `malloc_trim`; nothing
 * elsewhere), on a thread of the pool.
 */
export const giveBackMemory: CoreAddon['giveBackMemory'] = addon.giveBackMemory;

/**
 * Ends the process at once, with an exit code of 0 to 255: nothing is flushed and no thread waited
 * for, also one whose disk does not answer, which `process.exit` alone would wait for.
 */
export const endProcess: CoreAddon['endProcess'] = addon.endProcess;

export const BatchBuilder: BatchBuilderConstructor = addon.BatchBuilder;

export { loadAddon };
