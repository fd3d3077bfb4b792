import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { cleanUp } from '../support/clean-up.ts';
import { isSync, type PreloadCall, preloadEnv, readPreloadLog } from '../support/preload.ts';
import type { Seeded } from '../support/seeded.ts';

/** What a loss of power took. */
export interface PowerLossCounts {
  /** Files of which something written was taken back. */
  readonly cut: number;
  readonly cutBytes: number;
  /** New, renamed and removed names that were taken back. */
  readonly names: number;
}

/** A change of a file's bytes that no sync has covered yet. */
interface ByteChange {
  readonly kind: 'write' | 'overwrite' | 'truncate';
  readonly offset: number;
  readonly bytes: number;
  readonly grave: number;
  readonly endNs: bigint;
}

/** A change of names that no sync of its folder has covered yet. */
interface NameChange {
  readonly kind: 'create' | 'rename' | 'unlink';
  readonly path: string;
  readonly to: string;
  readonly grave: number;
  readonly endNs: bigint;
}

const SYNC_DELAY_MS = 8;

/**
 * One life of a node whose disk forgets, when power is lost, what was not synced: start the node
 * with `env`, kill it, then `lose()`. What is on the disk when a life begins counts as durable.
 */
export class PowerLife {
  readonly env: Record<string, string>;
  readonly #folder: string;
  readonly #grave: string;

  /** `dataDir` must exist; the record lies beside it, on the same volume. */
  constructor(dataDir: string) {
    this.#folder = mkdtempSync(join(dirname(dataDir), 'mqproxy-power-'));
    const grave = mkdtempSync(join(this.#folder, 'grave-'));
    const log = join(this.#folder, 'calls');
    // A slow disk has more to lose.
    this.env = preloadEnv({ pathPrefix: dataDir, log, grave, delayMs: SYNC_DELAY_MS });
    this.#grave = grave;
    cleanUp(() => this.forget());
  }

  /**
   * Takes back what was not synced: of each file all changes behind a drawn one, which may be torn
   * itself, and of all names the newest changes.
   */
  lose(random: Seeded): PowerLossCounts {
    const book = new UnsyncedBook();
    for (const call of readPreloadLog(join(this.#folder, 'calls'))) book.note(call);
    const counts = { cut: 0, cutBytes: 0, names: 0 };
    for (const [path, changes] of book.files) {
      if (changes.length === 0 || !existsSync(path)) continue;
      const bytes = this.#cut(path, changes, random);
      if (bytes > 0) counts.cut++;
      counts.cutBytes += bytes;
    }
    const kept = random.below(book.names.length + 1);
    for (const change of book.names.slice(kept).reverse()) {
      this.#takeBack(change);
      counts.names++;
    }
    return counts;
  }

  /** Removes the record of this life. */
  forget(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #cut(path: string, changes: readonly ByteChange[], random: Seeded): number {
    const kept = random.below(changes.length + 1);
    const fd = openSync(path, 'r+');
    let taken = 0;
    try {
      for (let i = changes.length - 1; i >= kept; i--) {
        const change = changes[i] as ByteChange;
        taken += change.bytes;
        const isTorn = i === kept && change.kind === 'write';
        const part = isTorn ? random.below(change.bytes + 1) : 0;
        this.#undo(fd, change, part, isTorn && random.float() < 0.25);
      }
    } finally {
      closeSync(fd);
    }
    return taken;
  }

  /** `part` bytes of a write stay; with `zeros` the file keeps its length all the same. */
  #undo(fd: number, change: ByteChange, part: number, zeros: boolean): void {
    const { kind, offset, bytes, grave } = change;
    if (kind !== 'write') {
      const old = grave < 0 ? Buffer.alloc(0) : readFileSync(join(this.#grave, String(grave)));
      writeSync(fd, old, 0, old.length, offset);
      return;
    }
    const { size } = fstatSync(fd);
    // A write over old bytes has its own entry, which gives them back.
    if (size > offset + bytes || size <= offset + part) return;
    ftruncateSync(fd, offset + part);
    if (zeros) ftruncateSync(fd, size);
  }

  #takeBack({ kind, path, to, grave }: NameChange): void {
    const buried = join(this.#grave, String(grave));
    if (kind === 'create') rmSync(path, { force: true });
    else if (kind === 'unlink') {
      if (grave >= 0 && existsSync(buried) && !existsSync(path)) linkSync(buried, path);
    } else if (existsSync(to)) {
      renameSync(to, path);
      if (grave >= 0) linkSync(buried, to);
    }
  }
}

/** Follows a record of calls and keeps what a loss of power may take. */
class UnsyncedBook {
  readonly files = new Map<string, ByteChange[]>();
  names: NameChange[] = [];

  note(call: PreloadCall): void {
    const { path, offset, endNs, result, fd: grave } = call;
    if (isSync(call)) {
      if (result === 0) this.#sync(call);
    } else if (call.call === 'create') {
      if (result === 0) this.names.push({ kind: 'create', path, to: '', grave, endNs });
    } else if (call.call === 'rename') {
      const [from = '', to = ''] = path.split('\t');
      this.names.push({ kind: 'rename', path: from, to, grave, endNs });
      const changes = this.files.get(from);
      this.files.delete(from);
      if (changes === undefined) this.files.delete(to);
      else this.files.set(to, changes);
    } else if (call.call === 'unlink') {
      this.names.push({ kind: 'unlink', path, to: '', grave, endNs });
      this.files.delete(path);
    } else if (call.call !== 'sync_file_range') {
      const isUndo = call.call === 'overwrite' || call.call === 'truncate';
      const kind = isUndo ? (call.call as 'overwrite' | 'truncate') : 'write';
      const bytes = isUndo ? call.bytes : result;
      if (bytes <= 0) return;
      const changes = this.files.get(path) ?? [];
      this.files.set(path, changes);
      changes.push({ kind, offset, bytes, grave, endNs });
    }
  }

  /** A sync covers what had ended before it began. */
  #sync({ path, startNs }: PreloadCall): void {
    const changes = this.files.get(path);
    if (changes !== undefined) {
      this.files.set(
        path,
        changes.filter(({ endNs }) => endNs > startNs),
      );
      return;
    }
    if (!existsSync(path) || !statSync(path).isDirectory()) return;
    const isInside = (name: string) => dirname(name) === path;
    this.names = this.names.filter(
      (change) => change.endNs > startNs || !isInside(change.to === '' ? change.path : change.to),
    );
  }
}
