// Which test files there are, and which lane each belongs to. Node's own globbing differs between
// versions, so every list is explicit.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * All test files by lane:
 *   quick  needs nothing but Node and the addon: units, vectors, the embedded backend, the tidy test
 *   kafka  imports test/support/kafka.ts: a real broker
 *   fault  below test/fault or test/fuzz (with or without Kafka): after all others
 *   long   below test/long: only in `npm run test:long`
 * A file that test/files-alone.json lists has no other beside it (`alone`).
 * @returns {{source: string, built: string, lane: 'quick' | 'kafka' | 'fault' | 'long', kafka:
 * boolean, scaled: boolean, alone: boolean}[]}
 */
export function testFiles() {
  const alone = JSON.parse(readFileSync(join(root, 'test', 'files-alone.json'), 'utf8'));
  const folders = ['test', 'protocol', 'sdk/ts', 'bench']
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder));
  return folders
    .flatMap((folder) => readdirSync(folder, { withFileTypes: true, recursive: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((source) => !source.includes('node_modules'))
    .sort()
    .map((source) => {
      const text = readFileSync(join(root, source), 'utf8');
      const kafka = /support\/kafka(-read)?\.ts'|'\.\/kafka(-read)?\.ts'/.test(text);
      const scaled = /MQPROXY_TEST_SCALE/.test(text);
      const lane = /^test\/long\//.test(source)
        ? 'long'
        : /^test\/(fault|fuzz)\//.test(source)
          ? 'fault'
          : kafka
            ? 'kafka'
            : 'quick';
      return {
        source,
        built: join(root, 'dist', source.replace(/\.ts$/, '.js')),
        lane,
        kafka,
        scaled,
        alone: source in alone,
      };
    });
}
