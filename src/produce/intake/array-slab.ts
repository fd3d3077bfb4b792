/** Bytes of a block: some hundred micro-batches. */
const BLOCK_BYTES = 64 * 1024;

/**
 * Memory for many small typed arrays that live for about the same time: views of one block cost no
 * allocation outside V8's heap, and its collector has no buffer of each to look after.
 */
export class ArraySlab {
  #block = new ArrayBuffer(BLOCK_BYTES);
  #used = 0;

  /** Where the next arrays lie: `bytes` zeroes at `offset` of `buffer`, which nobody else has. */
  take(bytes: number): { readonly buffer: ArrayBuffer; readonly offset: number } {
    const need = (bytes + 7) & ~7;
    if (need > BLOCK_BYTES) return { buffer: new ArrayBuffer(need), offset: 0 };
    if (this.#used + need > BLOCK_BYTES) {
      this.#block = new ArrayBuffer(BLOCK_BYTES);
      this.#used = 0;
    }
    const offset = this.#used;
    this.#used += need;
    return { buffer: this.#block, offset };
  }
}
