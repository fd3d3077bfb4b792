import { createHash } from 'node:crypto';

const BLOCK_BYTES = 64;
const ROUNDS = 64;

/** First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K = new Int32Array(ROUNDS);
/** Of the square roots of the first 8. */
const H0 = new Int32Array(8);
for (let found = 0, n = 2; found < ROUNDS; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  K[found] = fraction(n, 3n);
  if (found < 8) H0[found] = fraction(n, 2n);
  found++;
}

/** The first 32 bits behind the point of the `root`-th root of n, exactly. */
function fraction(n: number, root: bigint): number {
  const target = BigInt(n) << (32n * root);
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** root <= target) low = middle;
    else high = middle;
  }
  return Number(BigInt.asIntN(32, low));
}

const W = new Int32Array(ROUNDS);

/**
 * HMAC-SHA-256 (RFC 2104) of messages that fit one block, at most 55 bytes. A token is made per
 * delivered run and looked at per ack: `node:crypto` takes several microseconds and garbage for
 * each, this takes one, since the blocks of the key are hashed once.
 */
export class ShortHmac {
  readonly #inner = new Int32Array(8);
  readonly #outer = new Int32Array(8);
  readonly #state = new Int32Array(8);
  readonly #block = new Int32Array(16);
  readonly #bytes = Buffer.from(this.#block.buffer);

  constructor(secret: Uint8Array) {
    const key = Buffer.alloc(BLOCK_BYTES);
    const short =
      secret.length > BLOCK_BYTES ? createHash('sha256').update(secret).digest() : secret;
    key.set(short);
    this.#absorbKey(key, 0x36, this.#inner);
    this.#absorbKey(key, 0x5c, this.#outer);
  }

  /** The code's words, *borrowed* until the next call: word i is bytes 4i to 4i + 3, big-endian. */
  sign(message: Uint8Array, from: number, length: number): Int32Array {
    const bytes = this.#bytes;
    bytes.fill(0);
    for (let i = 0; i < length; i++) bytes[i] = message[from + i] as number;
    bytes[length] = 0x80;
    this.#toWords();
    this.#block[15] = (BLOCK_BYTES + length) * 8;
    this.#state.set(this.#inner);
    compress(this.#state, this.#block);
    this.#block.fill(0);
    this.#block.set(this.#state);
    this.#block[8] = 0x8000_0000 | 0;
    this.#block[15] = (BLOCK_BYTES + 32) * 8;
    this.#state.set(this.#outer);
    compress(this.#state, this.#block);
    return this.#state;
  }

  #absorbKey(key: Buffer, pad: number, into: Int32Array): void {
    for (let i = 0; i < BLOCK_BYTES; i++) this.#bytes[i] = (key[i] as number) ^ pad;
    this.#toWords();
    into.set(H0);
    compress(into, this.#block);
  }

  /** The block's bytes become big-endian words, in place. */
  #toWords(): void {
    const bytes = this.#bytes;
    const block = this.#block;
    for (let i = 0; i < 16; i++) block[i] = bytes.readInt32BE(i * 4);
  }
}

// FIPS 180-4, 6.2.2
function compress(state: Int32Array, block: Int32Array): void {
  for (let i = 0; i < 16; i++) W[i] = block[i] as number;
  for (let i = 16; i < ROUNDS; i++) {
    const x = W[i - 15] as number;
    const y = W[i - 2] as number;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[i] = ((W[i - 16] as number) + s0 + (W[i - 7] as number) + s1) | 0;
  }
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  let e = state[4] as number;
  let f = state[5] as number;
  let g = state[6] as number;
  let h = state[7] as number;
  for (let i = 0; i < ROUNDS; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (K[i] as number) + (W[i] as number)) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
  state[4] = (state[4] as number) + e;
  state[5] = (state[5] as number) + f;
  state[6] = (state[6] as number) + g;
  state[7] = (state[7] as number) + h;
}
