import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { coded } from '../../src/base/errors.ts';
import { cacheDir, repoRoot } from './repo.ts';

/** What the preload library does to the process that is started with its environment. */
export interface PreloadOptions {
  /** Only files whose path begins with this, a data folder for example. */
  readonly pathPrefix?: string;
  /** Every sync takes this much longer, in ms. */
  readonly delayMs?: number;
  /** Where each call is recorded; read it by {@link readPreloadLog}. */
  readonly log?: string;
  /** After this many syncs every sync fails with EIO. */
  readonly failAfterSyncs?: number;
  /** The file of {@link DiskFaults}: rules that can change while the process runs. */
  readonly faults?: string;
  /**
   * An existing folder on the volume of `pathPrefix` that keeps what is overwritten, cut off,
   * renamed over or removed. The log then tells all that a loss of power needs.
   */
  readonly grave?: string;
  /** The file of {@link WallClock}: an offset of the wall clock. */
  readonly clock?: string;
  /** One of so many messages breaks the native producer that it is handed to, for good. */
  readonly fatalEvery?: number;
}

/**
 * One recorded call. Times are in ns of the machine's monotonic clock, as `process.hrtime.bigint()`
 * gives.
 */
export interface PreloadCall {
  readonly call:
    | 'fsync'
    | 'fdatasync'
    | 'sync_file_range'
    | 'pwrite'
    | 'pwritev'
    | 'write'
    | 'writev'
    | 'overwrite'
    | 'truncate'
    | 'create'
    | 'rename'
    | 'unlink';
  /** Of `overwrite`, `truncate`, `rename` and `unlink`: the number in the grave, or -1. */
  readonly fd: number;
  /** -1 where the call has none. */
  readonly offset: number;
  readonly bytes: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly result: number;
  readonly path: string;
}

/** For `test(title, { skip: skipWithoutPreload() }, …)`: LD_PRELOAD is a thing of Linux. */
export function skipWithoutPreload(): string | false {
  return process.platform === 'linux' ? false : 'LD_PRELOAD needs Linux';
}

/**
 * Builds the library where its source changed, and gives the environment that loads it into a
 * child.
 */
export function preloadEnv(options: PreloadOptions): Record<string, string> {
  const { pathPrefix, delayMs, log, failAfterSyncs, faults, grave, clock, fatalEvery } = options;
  return {
    LD_PRELOAD: buildPreload(),
    ...(pathPrefix === undefined ? {} : { MQ_PRELOAD_PATH: pathPrefix }),
    ...(delayMs === undefined ? {} : { MQ_PRELOAD_DELAY_MS: String(delayMs) }),
    ...(log === undefined ? {} : { MQ_PRELOAD_LOG: log }),
    ...(failAfterSyncs === undefined ? {} : { MQ_PRELOAD_FAIL: String(failAfterSyncs) }),
    ...(faults === undefined ? {} : { MQ_PRELOAD_FAULTS: faults }),
    ...(grave === undefined ? {} : { MQ_PRELOAD_GRAVE: grave }),
    ...(clock === undefined ? {} : { MQ_PRELOAD_CLOCK: clock }),
    ...(fatalEvery === undefined ? {} : { MQ_PRELOAD_FATAL: String(fatalEvery) }),
  };
}

/** The recorded calls so far, in the order of their ends. */
export function readPreloadLog(log: string): PreloadCall[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, 'utf8').split('\n');
  // The last one is empty, or a line that is being written.
  return lines.slice(0, -1).map((line) => {
    const [call, fd, offset, bytes, start, end, result, ...path] = line.split(' ');
    return {
      call: call as PreloadCall['call'],
      fd: Number(fd),
      offset: Number(offset),
      bytes: Number(bytes),
      startNs: BigInt(start ?? 0),
      endNs: BigInt(end ?? 0),
      result: Number(result),
      path: path.join(' '),
    };
  });
}

/** Whether a recorded call makes earlier writes durable. */
export function isSync({ call }: PreloadCall): boolean {
  return call === 'fsync' || call === 'fdatasync';
}

/** A call that is to fail or to take long. */
export interface DiskFault {
  /** `write` is any write to a file, `create` the making of a new one. */
  readonly on: 'sync' | 'write' | 'create';
  /** Milliseconds make the call slow, and it is done all the same. */
  readonly does: 'EIO' | 'ENOSPC' | number;
  /** The first call that is hit, counted from 1 since {@link DiskFaults.set}; default 1. */
  readonly from?: number;
  /** The last one; default `from`; `Infinity`: for ever. */
  readonly to?: number;
  /** Only files whose path holds this, `lanes/0/` or `.log` for example. */
  readonly path?: string;
}

/** Rules of a running process's disk; `file` goes into its {@link PreloadOptions}. */
export class DiskFaults {
  readonly file: string;

  constructor(folder: string) {
    this.file = join(folder, 'faults');
  }

  /** From its next call on the process obeys these alone; counting begins anew. */
  set(...faults: readonly DiskFault[]): void {
    const lines = faults.map(({ on, does, from = 1, to = from, path = '' }) =>
      `${on} ${from} ${to === Infinity ? 0 : to} ${does} ${path}`.trimEnd(),
    );
    writeFileSync(`${this.file}.new`, `${lines.join('\n')}\n`);
    renameSync(`${this.file}.new`, this.file);
  }

  clear(): void {
    this.set();
  }
}

/** The wall clock of a running process; `file` goes into its {@link PreloadOptions}. */
export class WallClock {
  readonly file: string;
  readonly #fd: number;

  constructor(folder: string) {
    this.file = join(folder, 'clock');
    this.#fd = openSync(this.file, 'w+');
    this.setOffset(0);
  }

  /** From now on the process's wall clock is this far ahead of the machine's. */
  setOffset(ms: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(ms)) * 1_000_000n);
    writeSync(this.#fd, bytes, 0, 8, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const sources = join(repoRoot, 'test', 'fault', 'preload');

function buildPreload(): string {
  const names = readdirSync(sources).sort();
  const hash = createHash('sha256');
  for (const name of names) hash.update(readFileSync(join(sources, name)));
  const folder = join(cacheDir, 'preload');
  const library = join(folder, `preload-${hash.digest('hex').slice(0, 12)}.so`);
  if (existsSync(library)) return library;
  mkdirSync(folder, { recursive: true });
  const fresh = `${library}.${process.pid}`;
  const units = names.filter((name) => name.endsWith('.c')).map((name) => join(sources, name));
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  const args = [...flags, '-o', fresh, ...units, '-ldl', '-lpthread'];
  const { status, stderr, error } = spawnSync('cc', args, { encoding: 'utf8' });
  if (status !== 0)
    throw coded('PRELOAD_BUILD', `cc could not build it: ${error?.message ?? stderr}`);
  renameSync(fresh, library);
  return library;
}
