import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { coded } from '../base/errors.ts';
import { crc32c } from '../native/addon.ts';
import { hex } from './batch-header.ts';

// Block-based tables of RocksDB 6.17 (its wiki: "Rocksdb BlockBasedTable Format"), as they are
// written by default and without compression:
//
// table  := block* footer
// block  := contents type:u8 crc:u32le                 the CRC is over contents and type, masked
// footer := checksum:u8 metaindex:handle index:handle padding version:u32le magic:u64le
// handle := offset:varint size:varint                  (of the contents)
// contents of an index, and of the metaindex := entry* restart:u32le* restarts:u32le
// entry of the metaindex := shared:varint rest:varint length:varint key handle
// entry of the index     := shared:varint rest:varint key handle, each key whole

const FOOTER_BYTES = 53;
const HANDLES_AT = 1;
const VERSION_AT = 41;
const MAGIC_AT = 45;
const MAGIC = Buffer.from('f7cff485b741e288', 'hex');
const CRC32C = 1;
/** The version whose index has the entries above. */
const VERSION = 4;
const TRAILER_BYTES = 5;
const UNCOMPRESSED = 0;
const MASK_DELTA = 0xa282ead8;
const READ_BYTES = 1024 * 1024;

/** Where the contents of a block lie. */
interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** An entry of an index: `key` is at or behind the last key of the block. */
interface IndexEntry {
  readonly key: Buffer;
  readonly handle: Handle;
}

/** Names of the tables in a folder. */
export async function tablesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith('.sst')).sort();
}

/**
 * Holds every block of tables of a folder against its checksum. The binding of Node 20 iterates
 * without doing so: a single bit makes a record look deleted, or ends the process. Blocks that hold
 * nothing but keys that begin with `except` are passed over, and so are tables that a compaction
 * has taken away. @throws STORE_CORRUPT
 */
export async function checkTables(
  folder: string,
  tables: readonly string[],
  except?: string,
): Promise<void> {
  const room = Buffer.allocUnsafeSlow(READ_BYTES);
  for (const name of tables) {
    const file = await openIfThere(join(folder, name));
    if (file === undefined) continue;
    try {
      await new TableCheck(file, name, room).run(except);
    } finally {
      await file.close();
    }
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

class TableCheck {
  readonly #file: FileHandle;
  readonly #name: string;
  /** For what is read ahead: a new one for each MiB was a third of the time. */
  readonly #room: Buffer;
  #fileBytes = 0;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(file: FileHandle, name: string, room: Buffer) {
    this.#file = file;
    this.#name = name;
    this.#room = room;
  }

  async run(except: string | undefined): Promise<void> {
    // Tables are written once.
    this.#fileBytes = (await this.#file.stat()).size;
    const footerAt = this.#fileBytes - FOOTER_BYTES;
    await this.#load({ offset: footerAt, size: FOOTER_BYTES });
    const footer = this.#window.subarray(footerAt - this.#windowAt);
    if (!footer.subarray(MAGIC_AT).equals(MAGIC)) this.#refuse('the end of a table', 'none');
    const [checksum, version] = [footer.readUInt8(0), footer.readUInt32LE(VERSION_AT)];
    if (checksum !== CRC32C || version !== VERSION) {
      const found = `checksum ${checksum} and version ${version}`;
      this.#refuse(`checksum ${CRC32C} and version ${VERSION}`, found);
    }
    const cursor = new Cursor(footer, HANDLES_AT);
    const [metaindex, index] = [cursor.handle(), cursor.handle()];
    for (const handle of metaOf(await this.#block(metaindex))) await this.#block(handle);
    let isExcept = false;
    for (const { key, handle } of indexOf(await this.#block(index))) {
      const wasExcept = isExcept;
      isExcept = except !== undefined && key.toString('latin1', 0, except.length) === except;
      // The block begins behind the last key of the one before.
      if (wasExcept && isExcept) continue;
      // A wait for each of some 4 KiB would cost more than its checksum.
      if (this.#has(handle)) this.#proven(handle);
      else await this.#block(handle);
    }
  }

  /** Contents of a block that are what was written; *borrowed until the next call*. */
  async #block(handle: Handle): Promise<Buffer> {
    if (!this.#has(handle)) {
      await this.#load({ offset: handle.offset, size: handle.size + TRAILER_BYTES });
    }
    return this.#proven(handle);
  }

  /** Whether the window holds a block and its trailer. */
  #has({ offset, size }: Handle): boolean {
    const at = offset - this.#windowAt;
    return at >= 0 && at + size + TRAILER_BYTES <= this.#window.length;
  }

  /** As {@link TableCheck.#block}, of one that the window holds. */
  #proven({ offset, size }: Handle): Buffer {
    const window = this.#window;
    const at = offset - this.#windowAt;
    const type = window.readUInt8(at + size);
    const expected = window.readUInt32LE(at + size + 1);
    const found = masked(crc32c(window.subarray(at, at + size + 1)));
    if (found !== expected || type !== UNCOMPRESSED) {
      this.#refuse(`the block at ${offset} with the CRC ${hex(expected)}`, hex(found));
    }
    return window.subarray(at, at + size);
  }

  /** Reads ahead: blocks follow each other. */
  async #load({ offset, size }: Handle): Promise<void> {
    const fileBytes = this.#fileBytes;
    if (offset < 0 || offset + size > fileBytes)
      this.#refuse(`${size} bytes at ${offset}`, `a file of ${fileBytes}`);
    const room = size > this.#room.length ? Buffer.allocUnsafe(size) : this.#room;
    const window = room.subarray(0, Math.min(room.length, fileBytes - offset));
    for (let done = 0; done < window.length; ) {
      const rest = window.length - done;
      const { bytesRead } = await this.#file.read(window, done, rest, offset + done);
      if (bytesRead === 0) this.#refuse(`${rest} bytes at ${offset + done}`, 'none');
      done += bytesRead;
    }
    [this.#window, this.#windowAt] = [window, offset];
  }

  #refuse(expected: string, found: string): never {
    throw coded('STORE_CORRUPT', `expected in ${this.#name} ${expected}, found ${found}`);
  }
}

/** As RocksDB stores a CRC: one of bytes that hold CRCs themselves is of no use. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** The blocks that a metaindex names: filters, properties. The block is proven, so it parses. */
function metaOf(contents: Buffer): Handle[] {
  const handles: Handle[] = [];
  const cursor = new Cursor(contents, 0);
  for (const end = entriesEnd(contents); cursor.at < end; ) {
    cursor.varint();
    const rest = cursor.varint();
    const length = cursor.varint();
    const valueAt = cursor.at + rest;
    handles.push(new Cursor(contents, valueAt).handle());
    cursor.at = valueAt + length;
  }
  return handles;
}

function indexOf(contents: Buffer): IndexEntry[] {
  const entries: IndexEntry[] = [];
  const cursor = new Cursor(contents, 0);
  for (const end = entriesEnd(contents); cursor.at < end; ) {
    cursor.varint();
    const rest = cursor.varint();
    const key = Buffer.from(contents.subarray(cursor.at, cursor.at + rest));
    cursor.at += rest;
    entries.push({ key, handle: cursor.handle() });
  }
  return entries;
}

function entriesEnd(contents: Buffer): number {
  const restarts = contents.readUInt32LE(contents.length - 4);
  return contents.length - 4 * (restarts + 1);
}

class Cursor {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Below 2^53: sizes and places in a file. */
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes.readUInt8(this.at++);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  handle(): Handle {
    return { offset: this.varint(), size: this.varint() };
  }
}
