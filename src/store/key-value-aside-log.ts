import assert from 'node:assert';
import type { Clock } from '../base/clock.ts';
import { type BatchSource, entriesOf } from './batch-reader.ts';
import type { KeyValueOp } from './key-value-store.ts';
import { kindRange, parkedKey, parkedRange, sealed, undeliverableKey, unsealed } from './keys.ts';
import type {
  AsideCount,
  AsideEntry,
  AsideLog,
  AsideName,
  AsidePlace,
  Refusal,
} from './lane-store.ts';
import { decodeUndeliverable, encodeUndeliverable } from './undeliverable.ts';

const KINDS = { undeliverable: 'u', parked: 'q' } as const;

/** Both logs, by topic. */
export type AsideTotals = Readonly<Record<AsideName, Map<string, AsideCount>>>;

/** What an {@link KeyValueAsideLog} asks of its store. */
export interface AsideHooks {
  source(): BatchSource;
  /** One write, synced. Rejects with STORE_FAILED. */
  write(ops: readonly KeyValueOp[]): Promise<void>;
  confirm(sequence: number): void;
  isConfirmed(sequence: number): boolean;
  /** Confirmed state is on the disk, synced. */
  settle(): Promise<void>;
}

/** Both logs empty. */
export function noneAside(): AsideTotals {
  return { parked: new Map(), undeliverable: new Map() };
}

/** Counts what a store holds; `onSequence` gets the sequence of every entry. */
export async function countAside(
  { kv, crc32c }: Pick<BatchSource, 'kv' | 'crc32c'>,
  onSequence: (sequence: number) => void,
): Promise<AsideTotals> {
  const totals = noneAside();
  for (const log of ['undeliverable', 'parked'] as const) {
    for await (const { key, value } of kv.iterate(kindRange(KINDS[log]))) {
      const entry = decodeUndeliverable(unsealed(key, value, crc32c));
      onSequence(entry.sequence);
      count(totals[log], entry, bytesOf(key, value));
    }
  }
  return totals;
}

/**
 * What left the outbox without having been delivered: the undeliverable log (refused for good) and
 * the parked log (waiting for its topic, by topic in order). Each step is one synced write, so a
 * message is in exactly one place, and its entry counts as its confirmation. One step at a time,
 * so that an entry is counted in and out once, whoever asks twice.
 */
export class KeyValueAsideLog implements AsideLog {
  readonly #hooks: AsideHooks;
  readonly #totals: AsideTotals;
  readonly #clock: Clock;
  #turn: Promise<void> = Promise.resolve();

  constructor(hooks: AsideHooks, totals: AsideTotals, clock: Clock) {
    this.#hooks = hooks;
    this.#totals = totals;
    this.#clock = clock;
  }

  /** Messages and bytes of a log by topic. */
  topics(log: AsideName): ReadonlyMap<string, Readonly<AsideCount>> {
    return this.#totals[log];
  }

  messages(log: AsideName): number {
    let messages = 0;
    for (const topic of this.#totals[log].values()) messages += topic.messages;
    return messages;
  }

  bytes(log: AsideName): number {
    let bytes = 0;
    for (const topic of this.#totals[log].values()) bytes += topic.bytes;
    return bytes;
  }

  /** Moves messages out of the outbox into a log, and confirms them; known ones are left alone. */
  put(log: AsideName, refusals: readonly Refusal[]): Promise<readonly AsideEntry[]> {
    return this.#next(async () => {
      const { source, isConfirmed, confirm } = this.#hooks;
      const wants = ({ sequence }: Refusal): boolean => !isConfirmed(sequence);
      const read = await entriesOf(source(), distinct(refusals), { now: this.#clock.now(), wants });
      // Of what was read first, some may have been confirmed while the rest was.
      const entries = read.filter(wants);
      if (entries.length === 0) return entries;
      await this.#add(log, entries, []);
      for (const { sequence } of entries) confirm(sequence);
      return entries;
    });
  }

  /** Takes an entry in as it is; for `relane`, under a sequence of this lane that is confirmed. */
  import(log: AsideName, entry: AsideEntry): Promise<void> {
    return this.#next(() => this.#add(log, [entry], []));
  }

  /** Entries of a log; of a topic from a sequence on, in order. */
  async *entries(log: AsideName, from?: AsidePlace): AsyncGenerator<AsideEntry> {
    const { kv, crc32c } = this.#hooks.source();
    const isParked = log === 'parked';
    const range =
      from !== undefined && isParked
        ? parkedRange(from.topic, from.sequence)
        : { ...kindRange(KINDS[log]), ...fromOf(from) };
    for await (const { key, value } of kv.iterate(range)) {
      const entry = decodeUndeliverable(unsealed(key, value, crc32c));
      if (from !== undefined && (entry.topic !== from.topic || entry.sequence < from.sequence)) {
        continue;
      }
      yield entry;
    }
  }

  /** Entries of the undeliverable log, the newest first, at most `countMax`. */
  async *newest(countMax: number): AsyncGenerator<AsideEntry> {
    const { kv, crc32c } = this.#hooks.source();
    const how = { reverse: true, limit: countMax };
    for await (const { key, value } of kv.iterate(kindRange(KINDS.undeliverable), how)) {
      yield decodeUndeliverable(unsealed(key, value, crc32c));
    }
  }

  /** Forgets entries: they were delivered, or are given up. Answers how many were there. */
  remove(log: AsideName, places: readonly AsidePlace[]): Promise<number> {
    return this.#next(async () => {
      const there = await this.#present(log, places);
      if (there.length === 0) return 0;
      // Their confirmed bits must be on the disk before the entries that stand for them go.
      await this.#hooks.settle();
      await this.#hooks.write(there.map(({ key }) => ({ key, value: undefined })));
      this.#forget(log, there);
      return there.length;
    });
  }

  /** Moves entries from one log to the other in one write. */
  move(from: AsideName, to: AsideName, entries: readonly AsideEntry[]): Promise<void> {
    assert(from !== to);
    return this.#next(async () => {
      const there = await this.#present(from, entries);
      if (there.length === 0) return;
      const gone = there.map(({ key }) => ({ key, value: undefined }));
      const moved = there.map(({ place }) => place);
      await this.#add(to, moved, gone);
      this.#forget(from, there);
    });
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  /** Those of the entries that are still there, each once. */
  async #present<T extends AsidePlace>(log: AsideName, asked: readonly T[]): Promise<Present<T>[]> {
    const { kv } = this.#hooks.source();
    const places = distinct(asked).map((place) => ({ place, key: keyOf(log, place) }));
    const found = await Promise.all(places.map(({ key }) => kv.get(key)));
    return places.flatMap(({ place, key }, index) => {
      const value = found[index];
      return value === undefined ? [] : [{ place, key, bytes: bytesOf(key, value) }];
    });
  }

  async #add(log: AsideName, entries: readonly AsideEntry[], more: KeyValueOp[]): Promise<void> {
    const { crc32c } = this.#hooks.source();
    const ops = entries.map((entry) =>
      sealed(keyOf(log, entry), encodeUndeliverable(entry), crc32c),
    );
    await this.#hooks.write([...ops, ...more]);
    for (const [index, entry] of entries.entries()) {
      const { key, value } = ops[index] as KeyValueOp;
      count(this.#totals[log], entry, bytesOf(key, value));
    }
  }

  #forget(log: AsideName, gone: readonly Present<AsidePlace>[]): void {
    const totals = this.#totals[log];
    for (const { place, bytes } of gone) {
      const topic = totals.get(place.topic);
      if (topic === undefined) continue;
      topic.messages--;
      topic.bytes -= bytes;
      if (topic.messages === 0) totals.delete(place.topic);
    }
  }
}

/** An entry that was found. */
interface Present<T> {
  readonly place: T;
  readonly key: Buffer;
  readonly bytes: number;
}

/** By sequence, of which a lane never gives one twice. */
function distinct<T extends { readonly sequence: number }>(all: readonly T[]): T[] {
  return [...new Map(all.map((one) => [one.sequence, one])).values()];
}

function keyOf(log: AsideName, { topic, sequence }: AsidePlace): Buffer {
  return log === 'parked' ? parkedKey(topic, sequence) : undeliverableKey(sequence);
}

function count(into: Map<string, AsideCount>, entry: AsideEntry, bytes: number): void {
  const { topic, failedMs } = entry;
  const known = into.get(topic);
  if (known === undefined) {
    into.set(topic, { messages: 1, bytes, sinceMs: failedMs });
    return;
  }
  known.messages++;
  known.bytes += bytes;
  known.sinceMs = Math.min(known.sinceMs, failedMs);
}

/** What an entry counts against the quota of its log. */
function bytesOf(key: Buffer, value: Buffer | undefined): number {
  return key.length + (value?.length ?? 0);
}

/** The undeliverable log is in the order of sequences, whatever the topic. */
function fromOf(from: AsidePlace | undefined): { from?: Buffer } {
  return from === undefined ? {} : { from: undeliverableKey(from.sequence) };
}
