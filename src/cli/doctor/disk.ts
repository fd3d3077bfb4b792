import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { readableBytes } from '../../config/units.ts';
import { volumeSpace } from '../../store/volume.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const probes = 40;
const probeBytes = 4096;
const slowMs = 5;

/** Checks the data folder: may it be written, is there room, how long does a sync take. */
export async function checkDisk(
  dataDir: string,
  freeBytesMin: number,
  clock: Clock,
): Promise<Finding[]> {
  const folder = existingFolder(dataDir);
  const findings: Finding[] = [];
  try {
    const { p50, max } = syncTimes(folder, clock);
    const found = `fdatasync of 4 KiB in ${folder}: median ${p50.toFixed(2)} ms, max ${max.toFixed(1)} ms`;
    const advice = 'each answer waits for one sync: use a local SSD or NVMe for dataDir';
    findings.push(p50 > slowMs ? warn('disk', found, advice) : ok('disk', found));
    if (p50 < 0.01) {
      const what = `a sync in ${folder} takes ${(p50 * 1000).toFixed(1)} µs, so nothing is written`;
      findings.push(warn('disk', what, 'put dataDir on a disk: on tmpfs a power cut loses it'));
    }
  } catch (error) {
    const advice = 'give the user of the node write access, or set --data-dir';
    findings.push(fail('disk', `cannot write in ${folder}: ${messageOf(error)}`, advice));
  }
  const { freeBytes } = await volumeSpace(folder);
  findings.push(spaceOf(freeBytes, freeBytesMin));
  if (folder === resolve(dataDir) && (statSync(folder).mode & 0o077) !== 0) {
    const what = `${folder} can be read by others`;
    findings.push(warn('disk', what, `chmod 700 ${folder}: it holds messages in clear`));
  }
  return findings;
}

function spaceOf(freeBytes: number, freeBytesMin: number): Finding {
  const free = `${readableBytes(freeBytes)} free`;
  if (freeBytes > freeBytesMin) return ok('disk', free);
  const found = `${free}, less than outbox.freeBytesMin (${readableBytes(freeBytesMin)})`;
  return fail('disk', found, 'free some space: below it produce answers RETRY_LATER');
}

function syncTimes(folder: string, clock: Clock): { p50: number; max: number } {
  const file = join(folder, `.mqproxy-doctor-${process.pid}`);
  const handle = openSync(file, 'w', 0o600);
  try {
    const data = Buffer.alloc(probeBytes, 0x5a);
    const times: number[] = [];
    for (let i = 0; i < probes; i++) {
      const startMs = clock.monotonic();
      writeSync(handle, data);
      fdatasyncSync(handle);
      times.push(clock.monotonic() - startMs);
    }
    times.sort((a, b) => a - b);
    return { p50: times[probes >> 1] ?? 0, max: times.at(-1) ?? 0 };
  } finally {
    closeSync(handle);
    unlinkSync(file);
  }
}

/** The folder itself, or the nearest one above that is there already. */
function existingFolder(path: string): string {
  let folder = resolve(path);
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
