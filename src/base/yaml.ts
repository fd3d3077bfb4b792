import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The YAML library, loaded at its first use: most starts of a command read no file. */
export function yaml(): typeof import('yaml') {
  return require('yaml');
}
