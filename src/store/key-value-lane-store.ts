import assert from 'node:assert';
import type { Timer } from '../base/clock.ts';
import { type CodedError, coded, messageOf } from '../base/errors.ts';
import { type BatchHeader, decodeBatchHeader, headerCrc } from './batch-header.ts';
import { joinBatches } from './batch-join.ts';
import type { BatchLedger, NoteConfirmed } from './batch-ledger.ts';
import { adoptConfirmed, type BatchSource, readBatches } from './batch-reader.ts';
import type { KeyValueChunkLog } from './chunk-log.ts';
import { ConfirmedState } from './confirmed-state.ts';
import { KeyValueGroupOffsets } from './group-offsets.ts';
import type { HighWaterMark } from './high-water-mark.ts';
import { type AsideHooks, KeyValueAsideLog } from './key-value-aside-log.ts';
import type { KeyValueOp, KeyValueStore } from './key-value-store.ts';
import {
  ANCHOR_KEY,
  headerKey,
  kindRange,
  packU64,
  payloadKey,
  sealed,
  unsealed,
  windowKey,
} from './keys.ts';
import type {
  AppendRequest,
  BatchRead,
  LaneStats,
  LaneStore,
  LaneStoreOptions,
  VolumeSpace,
  WindowPut,
} from './lane-store.ts';
import { asCorrupt, type Recovered } from './recovery.ts';
import { folderBytes, volumeSpace } from './volume.ts';

/** What a lane store is made of. */
export interface LaneStoreParts {
  readonly kv: KeyValueStore;
  readonly mark: HighWaterMark;
  readonly chunks: KeyValueChunkLog;
  readonly recovered: Recovered;
  readonly storeFolder: string;
}

const IDLE_FLUSH_MS = 100;
const CHECKPOINT_BATCHES = 1000;
const COMPACT_BYTES = 256 * 1024 * 1024;
const DRAINED_BYTES = 32 * 1024 * 1024;

/**
 * The lane store over the key-value port. Confirmed state and deletions ("riders") are carried by
 * one write at a time, since two writes in flight may be applied in either order.
 */
export class KeyValueLaneStore implements LaneStore {
  readonly chunks: KeyValueChunkLog;
  readonly groups: KeyValueGroupOffsets;
  readonly aside: KeyValueAsideLog;
  readonly #options: LaneStoreOptions;
  readonly #parts: LaneStoreParts;
  readonly #ledger: BatchLedger;
  readonly #state: ConfirmedState;
  readonly #windowsUpTo: number;
  #nextSequence: number;
  #lastCrc: number;
  #headersSinceAnchor: number;
  #oldestMs: number | undefined;
  #appending = false;
  #riders: Promise<void> | undefined;
  #dirty = false;
  #idle: Timer | undefined;
  #background: Promise<void> = Promise.resolve();
  #failed: CodedError | undefined;
  #told = false;
  #closed = false;

  constructor(options: LaneStoreOptions, parts: LaneStoreParts) {
    const { recovered } = parts;
    this.#options = options;
    this.#parts = parts;
    this.chunks = parts.chunks;
    this.groups = new KeyValueGroupOffsets(parts.kv, options.crc32c, (work) => this.#guard(work));
    this.#ledger = recovered.ledger;
    this.#state = new ConfirmedState(recovered, options.crc32c);
    this.#nextSequence = recovered.reached.nextSequence;
    this.#windowsUpTo = this.#nextSequence;
    this.#lastCrc = recovered.reached.lastCrc;
    this.#headersSinceAnchor = recovered.headersSinceAnchor;
    this.#oldestMs = recovered.oldestAcceptedMs;
    this.aside = new KeyValueAsideLog(this.#asideHooks(), recovered.aside, options.clock);
  }

  get nextSequence(): number {
    return this.#nextSequence;
  }

  get floor(): number {
    return this.#ledger.merger.floor;
  }

  get unconfirmedMessages(): number {
    return this.#nextSequence - this.floor - this.#ledger.merger.confirmedAbove;
  }

  get checkpointDue(): boolean {
    return this.#headersSinceAnchor >= (this.#options.checkpointBatches ?? CHECKPOINT_BATCHES);
  }

  async *windows(): AsyncGenerator<{ key: Buffer; value: Buffer }> {
    try {
      for await (const { key, value } of this.#parts.kv.iterate(kindRange('w'))) {
        yield { key: key.subarray(1), value: unsealed(key, value, this.#options.crc32c) };
      }
    } catch (error) {
      throw asCorrupt(this.#options.lane, error);
    }
  }

  async *headersSinceCheckpoint(): AsyncGenerator<BatchHeader> {
    const range = { from: headerKey(this.#state.anchorNext), to: headerKey(this.#windowsUpTo) };
    for await (const { value } of this.#parts.kv.iterate(range))
      yield decodeBatchHeader(value, this.#options.crc32c);
  }

  async append(request: AppendRequest): Promise<void> {
    assert(!this.#appending, 'one append at a time');
    this.#check();
    this.#appending = true;
    const first = this.#nextSequence;
    const { messages, acceptedMs } = request.header;
    const ops: KeyValueOp[] = [];
    const header = this.#stageBatch(request, ops);
    const crc = headerCrc(header);
    try {
      if (request.windowPuts === undefined) await this.#write(ops, { sync: true, fold: false });
      else await this.#writeFold(ops, request.windowPuts);
    } finally {
      this.#appending = false;
    }
    this.#nextSequence = first + messages;
    this.#lastCrc = crc;
    this.#headersSinceAnchor++;
    if (request.chunks !== undefined) this.chunks.stored(request.chunks);
    const payloadBytes = request.payload?.length ?? 0;
    if (payloadBytes > 0) {
      const bytes = header.length + payloadBytes;
      this.#ledger.appended({ firstSequence: first, messages, bytes, acceptedMs, left: messages });
    } else {
      this.#state.storedWithoutPayload(first, messages);
    }
    this.#parts.mark.reach({ nextSequence: this.#nextSequence, lastCrc: crc });
  }

  /** For `relane`: folds all headers into the given windows, without a batch. */
  async checkpoint(windowPuts: readonly WindowPut[]): Promise<void> {
    this.#check();
    await this.#writeFold([], windowPuts);
  }

  /** For `relane`: every header that is kept, and its payload if that is, in order. */
  async *batches(): AsyncGenerator<{ header: BatchHeader; payload: Buffer | undefined }> {
    const range = { from: 0, to: this.#nextSequence, readAheadBytes: 1024 * 1024 };
    for await (const { header, payload } of joinBatches(this.#parts.kv, range)) {
      if (header === undefined) continue;
      yield { header: decodeBatchHeader(header, this.#options.crc32c), payload };
    }
  }

  /** For `relane`: the end of the chain that is folded into the windows. */
  get foldedUpTo(): number {
    return this.#state.anchorNext;
  }

  confirm(firstSequence: number, count: number, note?: NoteConfirmed): number {
    assert(firstSequence + count <= this.#nextSequence, 'confirmed what was never stored');
    const fresh = this.#ledger.confirm(firstSequence, count, note);
    if (fresh > 0) this.#markDirty();
    return fresh;
  }

  isConfirmed(sequence: number): boolean {
    return this.#ledger.merger.isConfirmed(sequence);
  }

  async readBatches(fromSequence: number, bytesMax: number): Promise<BatchRead> {
    try {
      const range = { fromSequence, to: this.#nextSequence, bytesMax };
      return await readBatches(this.#source(), range);
    } catch (error) {
      throw asCorrupt(this.#options.lane, error);
    }
  }

  stats(): LaneStats {
    const { unconfirmedMessages } = this;
    const { merger, liveBytes, liveBatches } = this.#ledger;
    this.#oldestMs = this.#ledger.find(merger.floor)?.acceptedMs ?? this.#oldestMs;
    return {
      liveBytes,
      batches: liveBatches,
      unconfirmedMessages,
      oldestAcceptedMs: unconfirmedMessages > 0 ? this.#oldestMs : undefined,
      nextSequence: this.#nextSequence,
      floor: merger.floor,
    };
  }

  volume(): Promise<VolumeSpace> {
    return volumeSpace(this.#options.folder);
  }

  diskBytes(): Promise<number> {
    return folderBytes(this.#parts.storeFolder);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    assert(!this.#appending, 'closed while an append is in flight');
    this.#closed = true;
    this.#idle?.cancel();
    await this.#background;
    try {
      if (this.#failed === undefined) {
        await this.#flushRiders(true);
        await this.#guard(this.#parts.mark.flush());
      }
    } finally {
      await this.#parts.mark.abandon();
      await this.#parts.kv.close();
    }
  }

  /** For the mark and the idle flush: nobody waits for them, so the owner is told. */
  markFailed(error: unknown): void {
    const failure = this.#fail(error);
    if (!this.#told) this.#options.onFailure?.(failure);
    this.#told = true;
  }

  #stageBatch(request: AppendRequest, ops: KeyValueOp[]): Buffer {
    const { header, payload } = request;
    assert(header.messages > 0, 'a batch without messages');
    if (request.chunks !== undefined) this.chunks.stage(request.chunks, header, ops);
    const firstSequence = this.#nextSequence;
    const payloadBytes = payload?.length ?? 0;
    const { crc32c } = this.#options;
    const payloadCrc = request.payloadCrc ?? crc32c(payload ?? Buffer.alloc(0));
    const seal = { previousCrc: this.#lastCrc, firstSequence, payloadBytes, payloadCrc };
    const value = header.finish(seal, crc32c);
    ops.push({ key: headerKey(firstSequence), value });
    if (payload !== undefined && payloadBytes > 0) {
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payloadBytes);
      ops.push({ key: payloadKey(firstSequence), value: bytes });
    }
    return value;
  }

  /** Folds every header before the batch: the windows stand for them from now on. */
  async #writeFold(ops: KeyValueOp[], windowPuts: readonly WindowPut[]): Promise<void> {
    const { crc32c } = this.#options;
    for (const { key, value } of windowPuts) {
      const whole = windowKey(key);
      ops.push(value === undefined ? { key: whole, value } : sealed(whole, value, crc32c));
    }
    const next = this.#nextSequence;
    ops.push(sealed(ANCHOR_KEY, packU64(next, this.#lastCrc), crc32c));
    let staged = ops;
    if (this.#riders !== undefined) {
      // What was lent to us is ours before we wait.
      staged = ops.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }));
      while (this.#riders !== undefined) await this.#riders;
    }
    const anchorBefore = this.#state.anchorNext;
    this.#state.anchorNext = next;
    this.#headersSinceAnchor = 0;
    try {
      await this.#write(staged, { sync: true, fold: true });
    } catch (error) {
      this.#state.anchorNext = anchorBefore;
      throw error;
    }
  }

  /** Writes, with the riders if no other write carries any. */
  async #write(ops: KeyValueOp[], options: { sync: boolean; fold: boolean }): Promise<void> {
    const before = ops.length;
    if (this.#riders === undefined) this.#stageRiders(ops, options.fold);
    const written = this.#guard(this.#parts.kv.write(ops, { sync: options.sync }));
    if (ops.length > before) await this.#carry(written);
    else await written;
  }

  async #carry(written: Promise<void>): Promise<void> {
    this.#riders = written.catch(() => {});
    try {
      await written;
    } finally {
      this.#riders = undefined;
    }
  }

  #stageRiders(ops: KeyValueOp[], fold: boolean): void {
    this.#dirty = false;
    this.#state.stage(ops, fold);
  }

  #markDirty(): void {
    this.#dirty = true;
    this.#idle ??= this.#options.clock.setTimer(() => {
      this.#idle = undefined;
      this.#background = this.#background.then(() => this.#idleFlush());
    }, IDLE_FLUSH_MS);
  }

  async #idleFlush(): Promise<void> {
    if (!this.#dirty || this.#closed || this.#failed !== undefined) return;
    try {
      await this.#flushRiders(false);
      await this.#compactDrained();
    } catch (error) {
      this.markFailed(error);
    }
  }

  async #flushRiders(sync: boolean): Promise<void> {
    while (this.#riders !== undefined) await this.#riders;
    const cold = this.#ledger.takeCold();
    if (cold !== undefined) {
      await this.#carry(adoptConfirmed(this.#source(), cold));
      while (this.#riders !== undefined) await this.#riders;
    }
    const ops: KeyValueOp[] = [];
    this.#stageRiders(ops, false);
    if (ops.length > 0) await this.#carry(this.#guard(this.#parts.kv.write(ops, { sync })));
  }

  async #compactDrained(): Promise<void> {
    const { compactBytes = COMPACT_BYTES } = this.#options;
    if (this.#state.freedBytes < compactBytes || this.#ledger.liveBytes > DRAINED_BYTES) return;
    this.#state.freedBytes = 0;
    await this.#parts.kv.compact({ from: payloadKey(0), to: payloadKey(this.floor) });
  }

  #asideHooks(): AsideHooks {
    return {
      source: () => this.#source(),
      write: async (ops) => {
        this.#check();
        await this.#guard(this.#parts.kv.write(ops, { sync: true }));
      },
      confirm: (sequence) => void this.confirm(sequence, 1),
      isConfirmed: (sequence) => this.isConfirmed(sequence),
      settle: () => this.#flushRiders(true),
    };
  }

  #source(): BatchSource {
    return { kv: this.#parts.kv, crc32c: this.#options.crc32c, ledger: this.#ledger };
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
    assert(!this.#closed, 'the store is closed');
  }

  #guard(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      throw this.#fail(error);
    });
  }

  #fail(error: unknown): CodedError {
    const message = `lane ${this.#options.lane}: the store failed: ${messageOf(error)}`;
    this.#failed ??= coded('STORE_FAILED', message, {
      cause: error,
      hint: 'what was being stored is neither known to be safe nor lost; look at the disk',
    });
    return this.#failed;
  }
}
