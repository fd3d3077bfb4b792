import type { Crc32c } from './batch-header.ts';
import type { BatchLedger } from './batch-ledger.ts';
import type { KeyValueOp } from './key-value-store.ts';
import { confirmedChunkKey, FLOOR_KEY, headerKey, packU64, payloadKey, sealed } from './keys.ts';
import type { Recovered } from './recovery.ts';

/** What of the confirmed state is on the disk, and what the next write takes along. */
export class ConfirmedState {
  readonly ledger: BatchLedger;
  /** The first sequence whose header stands for itself: those before are folded into windows. */
  anchorNext: number;
  /** Bytes of the batches that were deleted since the last compaction. */
  freedBytes = 0;
  readonly #crc32c: Crc32c;
  /** Headers since the anchor that only wait for the next checkpoint. */
  #foldable: number[];
  #floorWritten: number;

  constructor(recovered: Recovered, crc32c: Crc32c) {
    this.ledger = recovered.ledger;
    this.anchorNext = recovered.anchor.nextSequence;
    this.#crc32c = crc32c;
    this.#foldable = recovered.foldable;
    this.#floorWritten = recovered.ledger.merger.floor;
  }

  /** Counts a batch of which only the header was kept. */
  storedWithoutPayload(firstSequence: number, messages: number): void {
    this.ledger.merger.confirm(firstSequence, messages);
    this.#foldable.push(firstSequence);
  }

  /** Adds what changed to a write; with `fold`, the headers before the anchor go too. */
  stage(ops: KeyValueOp[], fold: boolean): void {
    const { merger } = this.ledger;
    for (const { firstSequence, bytes } of this.ledger.takeFree()) {
      ops.push({ key: payloadKey(firstSequence), value: undefined });
      this.freedBytes += bytes;
      if (firstSequence >= this.anchorNext) this.#foldable.push(firstSequence);
      else ops.push({ key: headerKey(firstSequence), value: undefined });
    }
    if (fold) {
      for (const sequence of this.#foldable) {
        ops.push({ key: headerKey(sequence), value: undefined });
      }
      this.#foldable = [];
    }
    if (merger.floor !== this.#floorWritten) {
      this.#floorWritten = merger.floor;
      ops.push(sealed(FLOOR_KEY, packU64(merger.floor), this.#crc32c));
    }
    for (const { chunk, bytes } of merger.takeChanges()) {
      const key = confirmedChunkKey(chunk);
      ops.push(bytes === undefined ? { key, value: undefined } : sealed(key, bytes, this.#crc32c));
    }
  }
}
