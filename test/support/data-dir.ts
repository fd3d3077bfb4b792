import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { tempDir } from './temp-dir.ts';

/** A copy of a stopped node's data folder, to be damaged. */
export function copyOf(dataDir: string): string {
  const copy = tempDir('mqproxy-copy-');
  cpSync(dataDir, copy, { recursive: true, preserveTimestamps: true });
  return copy;
}

/** Every file below a folder, relative to it, without RocksDB's own text log and lock. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^(LOG|LOCK|LOG\.old.*)$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/** Bytes of all files below a folder. */
export function bytesBelow(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = files.map(({ parentPath, path, name }) =>
    statSync(join(parentPath ?? path, name), { throwIfNoEntry: false }),
  );
  return sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0);
}

/** Flips one bit of a file. */
export function flipBit(path: string, bit: number): void {
  const bytes = readFileSync(path);
  bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
  writeFileSync(path, bytes);
}

/**
 * Where each record of a RocksDB write-ahead log ends.
 *
 *     block  := 32 KiB; record* and zeros where fewer than 7 bytes remain
 *     record := crc:u32 length:u16 type:u8 data    (types 5 to 8 have a log number:u32 before it)
 */
export function logRecordEnds(path: string): number[] {
  const bytes = readFileSync(path);
  const ends: number[] = [];
  for (let at = 0; at + 7 <= bytes.length; ) {
    const left = 32_768 - (at % 32_768);
    if (left < 7) {
      at += left;
      continue;
    }
    const length = bytes.readUInt16LE(at + 4);
    const type = bytes[at + 6] as number;
    if (type === 0) break;
    const header = type >= 5 && type <= 8 ? 11 : 7;
    at += header + length;
    // Whole records, and last parts of those that were split over blocks.
    if ([1, 4, 5, 8].includes(type)) ends.push(at);
  }
  return ends;
}

/** The newest write-ahead log of a lane that holds anything. */
export function newestLog(dataDir: string, lane = 0): string {
  const store = join(dataDir, 'lanes', String(lane), 'store');
  const logs = readdirSync(store).filter((name) => /^\d+\.log$/.test(name));
  const full = logs.sort().filter((name) => statSync(join(store, name)).size > 0);
  const last = full.at(-1);
  assert(last !== undefined, 'the store has no write-ahead log with records');
  return join(store, last);
}

/** A topics file as a node writes it that has seen these topics in Kafka. */
export function writeTopics(dataDir: string, names: readonly string[], partitions = 4): void {
  const metadata = {
    partitions,
    messageBytesMax: 1_048_588,
    replicationFactor: 1,
    minInsyncReplicas: 1,
    config: {},
    confirmed: true,
  };
  const lines = names.map((name, i) =>
    JSON.stringify({ id: i + 1, name, clusters: { primary: metadata } }),
  );
  const nextId = names.length + 1;
  const sha256 = createHash('sha256')
    .update(`${nextId}\n${lines.join('\n')}`)
    .digest('hex');
  const head = `{"format":1,"nextId":${nextId},"sha256":"${sha256}"`;
  writeFileSync(join(dataDir, 'topics.json'), `${head},"topics":[\n${lines.join(',\n')}\n]}\n`);
}
