import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { coded, messageOf } from './base/errors.ts';
import { writeSynced } from './node-manifest.ts';
import type { UseSetting } from './produce/failover/failover.ts';

const FILE = 'cluster-use.json';

/** Which cluster was set to be used, and by whom. @throws DATA_DIR_REFUSED */
export function readUse(dataDir: string): UseSetting {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { use: 'auto' };
    throw coded('DATA_DIR_REFUSED', `${path} cannot be read: ${messageOf(error)}`);
  }
  try {
    const found = JSON.parse(text) as UseSetting;
    if (['auto', 'primary', 'backup'].includes(found.use)) return found;
  } catch {
    // Said below.
  }
  throw coded('DATA_DIR_REFUSED', `${path} does not say auto, primary or backup`, {
    hint: 'remove the file to let the node decide by itself',
  });
}

/** Keeps a setting, durably. */
export function writeUse(dataDir: string, setting: UseSetting): void {
  writeSynced(join(dataDir, FILE), `${JSON.stringify(setting, null, 2)}\n`);
}
