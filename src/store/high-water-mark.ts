import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import type { Crc32c } from './batch-header.ts';
import { readU64, writeU64 } from './keys.ts';

/** How far the chain of headers reached. */
export interface MarkState {
  /** The sequence after the last stored message. */
  readonly nextSequence: number;
  /** CRC of the last header, 0 before the first. */
  readonly lastCrc: number;
}

const MAGIC = 0x4d514d31; // 'MQM1'
const SLOT_BYTES = 64;
// A slot of its own block each: a torn write spoils one of them only.
const SLOT_AT = [0, 4096] as const;
const FILE_BYTES = 4096 + SLOT_BYTES;
const BEHIND_MS = 40;

// slot := magic:u32 crc:u32 counter:u64 lane:u32 lastCrc:u32 nextSequence:u64 zero{32}
// All big-endian. crc is over everything after it.

/** Reads the mark of a folder: undefined when there is no file. Throws `STORE_CORRUPT`. */
export async function readMark(
  path: string,
  lane: number,
  crc32c: Crc32c,
): Promise<(MarkState & { counter: number }) | undefined> {
  let bytes: Buffer;
  try {
    const file = await open(path, 'r');
    try {
      bytes = Buffer.alloc(FILE_BYTES);
      await file.read(bytes, 0, FILE_BYTES, 0);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  let best: (MarkState & { counter: number }) | undefined;
  for (const at of SLOT_AT) {
    const slot = bytes.subarray(at, at + SLOT_BYTES);
    if (slot.readUInt32BE(0) !== MAGIC || slot.readUInt32BE(4) !== crc32c(slot.subarray(8)))
      continue;
    if (slot.readUInt32BE(16) !== lane) {
      const message = `lane ${lane}: expected its own high-water mark, found that of lane`;
      throw coded('STORE_CORRUPT', `${message} ${slot.readUInt32BE(16)}`);
    }
    const counter = readU64(slot, 8);
    if (best !== undefined && best.counter > counter) continue;
    best = { counter, lastCrc: slot.readUInt32BE(20), nextSequence: readU64(slot, 24) };
  }
  if (best !== undefined) return best;
  throw coded('STORE_CORRUPT', `lane ${lane}: expected a high-water mark, found no readable slot`);
}

/**
 * The high-water mark of a lane, outside the store, so that a store which lost its end is found
 * out. Written off the answer path, at most 50 ms behind, synced.
 */
export class HighWaterMark {
  readonly #file: FileHandle;
  readonly #lane: number;
  readonly #clock: Clock;
  readonly #crc32c: Crc32c;
  readonly #onFailure: (error: unknown) => void;
  #counter: number;
  #written: MarkState;
  #wanted: MarkState;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, counter: number, state: MarkState, options: MarkOptions) {
    this.#file = file;
    this.#lane = options.lane;
    this.#clock = options.clock;
    this.#crc32c = options.crc32c;
    this.#onFailure = options.onFailure;
    this.#counter = counter;
    this.#written = state;
    this.#wanted = state;
  }

  /** Opens or makes the file and writes both slots, synced. */
  static async start(options: MarkOptions, state: MarkState): Promise<HighWaterMark> {
    const before = await readMark(options.path, options.lane, options.crc32c);
    const file = await open(options.path, before === undefined ? 'w+' : 'r+', 0o600);
    const mark = new HighWaterMark(file, before?.counter ?? 0, state, options);
    await mark.#write();
    await mark.#write();
    if (before === undefined) await syncFolder(dirname(options.path));
    return mark;
  }

  /** Notes how far the store is; it is written within 50 ms. */
  reach(state: MarkState): void {
    this.#wanted = state;
    this.#timer ??= this.#clock.setTimer(() => {
      this.#timer = undefined;
      this.flush().catch(this.#onFailure);
    }, BEHIND_MS);
  }

  /** Writes what is wanted now, synced. */
  async flush(): Promise<void> {
    const turn = this.#writing.then(async () => {
      if (this.#wanted !== this.#written) await this.#write();
    });
    // The next turn goes on after a failure: its caller learns of it by its own promise.
    this.#writing = turn.catch(() => {});
    await turn;
  }

  /** Takes the timer back, without writing, and closes the file. */
  async abandon(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    const state = this.#wanted;
    const slot = Buffer.alloc(SLOT_BYTES);
    this.#counter++;
    slot.writeUInt32BE(MAGIC, 0);
    writeU64(slot, this.#counter, 8);
    slot.writeUInt32BE(this.#lane, 16);
    slot.writeUInt32BE(state.lastCrc, 20);
    writeU64(slot, state.nextSequence, 24);
    slot.writeUInt32BE(this.#crc32c(slot.subarray(8)), 4);
    const at = SLOT_AT[this.#counter % 2 === 0 ? 0 : 1];
    await this.#file.write(slot, 0, SLOT_BYTES, at);
    await this.#file.datasync();
    this.#written = state;
  }
}

/** How a mark is opened. */
export interface MarkOptions {
  readonly path: string;
  readonly lane: number;
  readonly clock: Clock;
  readonly crc32c: Crc32c;
  readonly onFailure: (error: unknown) => void;
}

/** Makes the entries of a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
