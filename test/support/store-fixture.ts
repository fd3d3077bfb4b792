import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pack, unpack } from 'msgpackr';

/** The files of a folder below it, with their bytes. */
type Files = Readonly<Record<string, Uint8Array>>;

/** Writes a stopped node's data folder into one file. */
export function packFolder(folder: string, file: string): void {
  const files: Record<string, Uint8Array> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    // RocksDB's own text log and lock say nothing.
    if (entry.isFile() && !/^(LOG.*|LOCK)$/.test(entry.name))
      files[relative(folder, path)] = readFileSync(path);
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, gzipSync(pack(files), { level: 9 }));
}

/** Puts such a folder back, into an empty one. */
export function unpackFolder(file: string, folder: string): void {
  const files = unpack(gunzipSync(readFileSync(file))) as Files;
  for (const [path, bytes] of Object.entries(files)) {
    const whole = join(folder, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, bytes);
  }
}
