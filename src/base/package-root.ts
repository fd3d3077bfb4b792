import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coded } from './errors.ts';

/** The folder of this package: a checkout's root, or the installed package. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string };
      if (name === 'mqproxy') return folder;
    }
    const parent = dirname(folder);
    if (parent === folder) throw coded('INTERNAL', "the package's root was not found");
    folder = parent;
  }
}
