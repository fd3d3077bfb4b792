import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanUp } from './clean-up.ts';

/**
 * A fresh folder, gone after the test (kept with `MQPROXY_TEST_KEEP=1`, to look at what a failure
 * left).
 */
export function tempDir(prefix = 'mqproxy-test-'): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  const remove = (): void => removeDir(folder);
  cleanUp(remove, remove);
  return folder;
}

/** Removes a folder of a test, unless it is to be kept. */
export function removeDir(folder: string): void {
  if (process.env['MQPROXY_TEST_KEEP']) return;
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
