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
  for (const name of tables) {
    const file = await openIfThere(join(folder, name));
    if (file === undefined) continue;
    try {
      await new TableCheck(file, name).run(except);
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
  #fileBytes = 0;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(file: FileHandle, name: string) {
    this.#file = file;
    this.#name = name;
  }

  async run(except: string | undefined): Promise<void> {
    // Tables are written once.
    this.#fileBytes = (await this.#file.stat()).size;
    const footerAt = this.#fileBytes - FOOTER_BYTES;
    const footer = await this.#bytes({ offset: footerAt, size: FOOTER_BYTES });
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
      if (!(wasExcept && isExcept)) await this.#block(handle);
    }
  }

  /** Contents of a block that are what was written; *borrowed until the next call*. */
  async #block(handle: Handle): Promise<Buffer> {
    const { offset, size } = handle;
    const bytes = await this.#bytes({ offset, size: size + TRAILER_BYTES });
    const type = bytes.readUInt8(size);
    const expected = bytes.readUInt32LE(size + 1);
    const found = masked(crc32c(bytes.subarray(0, size + 1)));
    if (found !== expected || type !== UNCOMPRESSED) {
      this.#refuse(`the block at ${offset} with the CRC ${hex(expected)}`, hex(found));
    }
    return bytes.subarray(0, size);
  }

  /** Reads ahead: blocks follow each other. */
  async #bytes({ offset, size }: Handle): Promise<Buffer> {
    const at = offset - this.#windowAt;
    if (at >= 0 && at + size <= this.#window.length) return this.#window.subarray(at, at + size);
    const fileBytes = this.#fileBytes;
    if (offset < 0 || offset + size > fileBytes)
      this.#refuse(`${size} bytes at ${offset}`, `a file of ${fileBytes}`);
    const window = Buffer.allocUnsafe(Math.min(Math.max(size, READ_BYTES), fileBytes - offset));
    for (let done = 0; done < window.length; ) {
      const rest = window.length - done;
      const { bytesRead } = await this.#file.read(window, done, rest, offset + done);
      if (bytesRead === 0) this.#refuse(`${rest} bytes at ${offset + done}`, 'none');
      done += bytesRead;
    }
    [this.#window, this.#windowAt] = [window, offset];
    return window.subarray(0, size);
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
