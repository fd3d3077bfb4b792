import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { coded, codeOf, messageOf } from './base/errors.ts';
import type { Random } from './base/random.ts';

const FILE = 'cluster.secret';
const SECRET_BYTES = 32;

/**
 * The secret that signs lease tokens: the configured one, or that of the data folder, which is made
 * on the first start (mode 0600). @throws DATA_DIR_REFUSED
 */
export function clusterSecret(options: {
  configured: string | undefined;
  dataDir: string;
  random: Random;
}): Buffer {
  if (options.configured !== undefined) return Buffer.from(options.configured);
  const path = join(options.dataDir, FILE);
  try {
    const found = readFileSync(path, 'utf8').trim();
    if (found.length >= 16) return Buffer.from(found);
    throw coded('DATA_DIR_REFUSED', `${FILE} of the data folder is too short: bring it back`);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const secret = Buffer.from(options.random.bytes(SECRET_BYTES)).toString('hex');
  try {
    const file = openSync(path, 'wx', 0o600);
    writeSync(file, `${secret}\n`);
    fsyncSync(file);
    closeSync(file);
  } catch (error) {
    throw coded('DATA_DIR_REFUSED', `${FILE} cannot be written: ${messageOf(error)}`);
  }
  return Buffer.from(secret);
}
