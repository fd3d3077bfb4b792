import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GrowingCounts } from './growing-counts.ts';

const FILES = ['resends.jsonl.1', 'resends.jsonl'];

/** A line of `resends.jsonl`. */
export interface ResendLine {
  readonly cause: string;
  readonly lane: number;
  /** 0 the primary, 1 the backup. */
  readonly cluster: number;
  /** Sequences of the lane. */
  readonly first: number;
  readonly last: number;
  readonly ids: readonly (readonly [
    producer: string,
    epoch: number,
    first: number,
    count: number,
  ])[];
}

/** What was noted of the messages of one producer and epoch. */
interface ProducerNotes {
  readonly lane: number;
  /** How often each was sent again, by cluster. */
  readonly times: readonly [primary: GrowingCounts, backup: GrowingCounts];
  /** The lane's sequence of each. */
  readonly places: Map<number, number>;
}

/**
 * What nodes noted in `resends.jsonl`: how often each message was sent again, and where to. Read it
 * as often as you like: lines are counted once, also when the file was begun anew in between. The
 * lines of a node with one number of lanes are held against each other.
 */
export class ResendLedger {
  /** Lines so far. */
  lines = 0;
  readonly causes = new Map<string, number>();
  /** Lines that do not agree with themselves or with the others, in words. */
  readonly contradictions: string[] = [];
  readonly #notes = new Map<string, ProducerNotes>();
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
    // A file that is gone leaves its inode number to the next one.
    this.#read.clear();
    for (const name of FILES) {
      const path = join(dataDir, name);
      if (!existsSync(path)) continue;
      const { ino, size } = statSync(path);
      this.#read.set(ino, size);
    }
  }

  /** How often the message with this id was sent again, to each cluster. */
  timesResent(id: string): readonly [primary: number, backup: number] {
    const cut = id.lastIndexOf('-');
    const times = this.#notes.get(id.slice(0, cut))?.times;
    const sequence = Number(id.slice(cut + 1));
    return [times?.[0].get(sequence) ?? 0, times?.[1].get(sequence) ?? 0];
  }

  /** Takes a line over. */
  add({ cause, lane, cluster, first, last, ids }: ResendLine): void {
    this.lines++;
    this.causes.set(cause, (this.causes.get(cause) ?? 0) + 1);
    const words = `${cause} of ${first} to ${last} of lane ${lane}`;
    const messages = ids.reduce((sum, [, , , count]) => sum + count, 0);
    // A parked log leaves out what is not the topic's.
    const isWhole = messages === last - first + 1;
    if (!isWhole && (cause !== 'parked' || messages > last - first + 1))
      this.contradictions.push(`${words} names ${messages} messages`);
    let place = first;
    for (const [producer, epoch, from, count] of ids) {
      const notes = this.#notesOf(`${producer}-${epoch}`, lane);
      if (notes.lane !== lane)
        this.contradictions.push(`${words}: ${producer} was in lane ${notes.lane}`);
      for (let sequence = from; sequence < from + count; sequence++, place++) {
        notes.times[cluster === 1 ? 1 : 0].increment(sequence);
        const known = isWhole ? (notes.places.get(sequence) ?? place) : place;
        if (isWhole) notes.places.set(sequence, known);
        if (known === place) continue;
        this.contradictions.push(`${words}: ${producer}-${epoch}-${sequence} was ${known}`);
      }
    }
  }

  #notesOf(name: string, lane: number): ProducerNotes {
    const known = this.#notes.get(name);
    if (known !== undefined) return known;
    const times = [new GrowingCounts(), new GrowingCounts()] as const;
    const notes = { lane, times, places: new Map<number, number>() };
    this.#notes.set(name, notes);
    return notes;
  }

  #readOn(path: string): void {
    const { ino } = statSync(path);
    const bytes = readFileSync(path);
    const known = this.#read.get(ino) ?? 0;
    const from = known > bytes.length ? 0 : known;
    // A node that was killed may have left a line without its end.
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end <= from) return;
    this.#read.set(ino, end);
    for (const line of bytes.toString('utf8', from, end - 1).split('\n')) {
      // A loss of power may have left a torn line, which the next one continues.
      const begin = line.lastIndexOf('{"timeMs"');
      if (begin < 0) continue;
      this.add(JSON.parse(line.slice(begin)) as ResendLine);
    }
  }
}
