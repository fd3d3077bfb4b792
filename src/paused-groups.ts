import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { coded, messageOf } from './base/errors.ts';
import type { GroupPause } from './consume/pause-book.ts';
import { writeSynced } from './node-manifest.ts';

const FILE = 'paused-groups.json';

/** Which groups were paused on this node, by whom and when. @throws DATA_DIR_REFUSED */
export function readPauses(dataDir: string): Map<string, GroupPause> {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw coded('DATA_DIR_REFUSED', `${path} cannot be read: ${messageOf(error)}`);
  }
  try {
    const found = Object.entries(JSON.parse(text) as Record<string, GroupPause>);
    const isWhole = ([, { by, from, atMs }]: (typeof found)[number]): boolean =>
      typeof by === 'string' && typeof from === 'string' && Number.isSafeInteger(atMs);
    if (found.every(isWhole)) return new Map(found);
  } catch {
    // Said below.
  }
  throw coded('DATA_DIR_REFUSED', `${path} does not say which groups are paused`, {
    hint: 'remove the file to let all groups go on',
  });
}

/** Keeps what is paused, durably. @throws DATA_DIR_REFUSED */
export function writePauses(dataDir: string, pauses: ReadonlyMap<string, GroupPause>): void {
  const text = `${JSON.stringify(Object.fromEntries(pauses), null, 2)}\n`;
  try {
    writeSynced(join(dataDir, FILE), text);
  } catch (error) {
    throw coded('DATA_DIR_REFUSED', `${FILE} cannot be written: ${messageOf(error)}`);
  }
}
