import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GrowingCounts } from './growing-counts.ts';

const FILES = ['resends.jsonl.1', 'resends.jsonl'];

/**
 * What nodes noted in `resends.jsonl`: how often each message was sent again. Read it as often as
 * you like: lines are counted once, also when the file was begun anew in between.
 */
export class ResendLedger {
  /** Lines so far. */
  lines = 0;
  readonly causes = new Map<string, number>();
  readonly #counts = new Map<string, GrowingCounts>();
  /** Bytes that were read, by inode. */
  readonly #read = new Map<number, number>();

  update(dataDir: string): void {
    for (const name of FILES) {
      const path = join(dataDir, name);
      if (existsSync(path)) this.#readOn(path);
    }
  }

  /** Everything that is there now was read before: to be said after a disk has lost some of it. */
  skip(dataDir: string): void {
    for (const name of FILES) {
      const path = join(dataDir, name);
      if (!existsSync(path)) continue;
      const { ino, size } = statSync(path);
      this.#read.set(ino, size);
    }
  }

  /** How often the message with this id was sent again. */
  timesResent(id: string): number {
    const cut = id.lastIndexOf('-');
    return this.#counts.get(id.slice(0, cut))?.get(Number(id.slice(cut + 1))) ?? 0;
  }

  /** Notes a run of messages as sent again. */
  add(producer: string, epoch: number, first: number, count: number): void {
    const name = `${producer}-${epoch}`;
    const counts = this.#counts.get(name) ?? new GrowingCounts();
    this.#counts.set(name, counts);
    for (let i = 0; i < count; i++) counts.increment(first + i);
  }

  #readOn(path: string): void {
    const { ino } = statSync(path);
    const bytes = readFileSync(path);
    const from = this.#read.get(ino) ?? 0;
    // A node that was killed may have left a line without its end.
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end <= from) return;
    this.#read.set(ino, end);
    for (const line of bytes.toString('utf8', from, end - 1).split('\n')) {
      // A loss of power may have left a torn line, which the next one continues.
      const begin = line.lastIndexOf('{"timeMs"');
      if (begin < 0) continue;
      const { cause, ids } = JSON.parse(line.slice(begin)) as ResendLine;
      this.lines++;
      this.causes.set(cause, (this.causes.get(cause) ?? 0) + 1);
      for (const [producer, epoch, first, count] of ids) this.add(producer, epoch, first, count);
    }
  }
}

interface ResendLine {
  readonly cause: string;
  readonly ids: readonly [producer: string, epoch: number, first: number, count: number][];
}
