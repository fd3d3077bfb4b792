// What a clone holds, as one digest: whether tests that passed passed on this very tree.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A digest of the commit, of what differs from it, and of every untracked file that is not ignored,
 * by name and content.
 */
export function treeOf(root) {
  const git = (...args) => {
    const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 };
    return spawnSync('git', args, options).stdout ?? '';
  };
  const hash = createHash('sha256').update(git('rev-parse', 'HEAD'));
  hash.update(git('diff', '--binary', 'HEAD'));
  const untracked = git('ls-files', '-z', '--others', '--exclude-standard').split('\0');
  for (const name of untracked.filter((line) => line !== '')) {
    hash.update(`\0${name}\0`).update(contentOf(join(root, name)));
  }
  return hash.digest('hex');
}

/** A link counts by where it leads; a folder here is a repository of its own. */
function contentOf(path) {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return readlinkSync(path);
  return stats.isFile() ? readFileSync(path) : '';
}
