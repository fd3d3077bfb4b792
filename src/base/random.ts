import { randomBytes } from 'node:crypto';

/** Where randomness comes from. Handed in at construction, so that a run can be repeated. */
export interface Random {
  /** `count` random bytes, owned by the caller. */
  bytes(count: number): Uint8Array;
  /** A random number in [0, 1). */
  float(): number;
}

/** The machine's own randomness. */
export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  float: () => Math.random(),
};

/** A random u64 that is never 0, as producer and node ids need. */
export function randomU64(random: Random): bigint {
  for (;;) {
    const bytes = random.bytes(8);
    const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0);
    if (value !== 0n) return value;
  }
}
