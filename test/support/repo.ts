import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the package `mqproxy`: the first one upwards whose package.json has that name. */
export const repoRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(folder: string): string {
  const file = join(folder, 'package.json');
  if (existsSync(file)) {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string };
    if (name === 'mqproxy') return folder;
  }
  return findRoot(dirname(folder));
}

/** The ignored folder for what tests fetch or build and keep. */
export const cacheDir: string = join(repoRoot, '.cache');
