import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeSpace } from './lane-store.ts';

/** Space of the volume on which a folder lies, in bytes that an ordinary user may fill. */
export async function volumeSpace(folder: string): Promise<VolumeSpace> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** Bytes of the files in a folder (not below it). Files that vanish meanwhile count nothing. */
export async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    bytes += found?.size ?? 0;
  }
  return bytes;
}
