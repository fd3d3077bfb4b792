import { closeSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { coded, codeOf, messageOf } from './base/errors.ts';
import type { Random } from './base/random.ts';
import { syncPath } from './node-manifest.ts';

const FILE = 'cluster.secret';
const SECRET_BYTES = 32;
const SECRET_CHARS_MIN = 16;
const DRAFT_BYTES = 8;

/**
 * The secret that signs lease tokens: the configured one, or that of the data folder, which is made
 * on the first start (mode 0600). @throws DATA_DIR_REFUSED
 */
export function clusterSecret(options: {
  configured: string | undefined;
  dataDir: string;
  random: Random;
}): Buffer {
  const { configured, dataDir, random } = options;
  if (configured !== undefined) return Buffer.from(configured);
  const found = readSecret(dataDir);
  if (found !== undefined) return found;
  try {
    makeSecret(dataDir, random);
  } catch (error) {
    // Another process was quicker: both have its secret.
    if (codeOf(error) !== 'EEXIST') {
      throw coded('DATA_DIR_REFUSED', `${FILE} cannot be written: ${messageOf(error)}`);
    }
  }
  return clusterSecret(options);
}

function readSecret(dataDir: string): Buffer | undefined {
  try {
    const found = readFileSync(join(dataDir, FILE), 'utf8').trim();
    if (found.length >= SECRET_CHARS_MIN) return Buffer.from(found);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw coded('DATA_DIR_REFUSED', `${FILE} cannot be read: ${messageOf(error)}`);
  }
  throw coded('DATA_DIR_REFUSED', `${FILE} of the data folder is too short`, {
    hint: 'bring it back from a copy; with a new one acks of leases that are out are refused',
  });
}

/** Writes the file whole or not at all. @throws EEXIST when it is there */
function makeSecret(dataDir: string, random: Random): void {
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString('hex');
  const draft = join(dataDir, `${FILE}.${Buffer.from(random.bytes(DRAFT_BYTES)).toString('hex')}`);
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, `${secret}\n`);
    syncPath(draft);
    linkSync(draft, join(dataDir, FILE));
    syncPath(dataDir);
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
}
