import { ClientBook, outcome } from './client-book.ts';
import { GrowingCounts } from './growing-counts.ts';
import { type HistoryEntry, type HistoryEvent, readHistory } from './history.ts';
import { type Payload, payloadKey, readPayload } from './payload.ts';
import { ResendLedger } from './resend-ledger.ts';
import { Verdicts } from './verdicts.ts';

/** A record of a dump. Those of a partition come in the order of their offsets. */
export interface DumpRecord extends Payload {
  readonly cluster: 'primary' | 'backup';
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** `<producer hex>-<epoch>-<sequence>` */
  readonly id: string;
  /** The node that took it; '' where the log does not tell. */
  readonly node: string;
  readonly key: string | undefined;
}

/** What a run must have done, at least, to prove anything. */
export interface Enough {
  readonly answered?: number;
  readonly resends?: number;
  readonly events?: Readonly<Partial<Record<HistoryEvent, number>>>;
}

/** The numbers of a check. */
export interface CheckCounts {
  readonly invoked: number;
  readonly answered: number;
  readonly failed: number;
  readonly unknown: number;
  readonly delivered: number;
  readonly duplicates: number;
  readonly resends: number;
}

/**
 * Holds a history against everything that is in the backend. Feed it the history, the notes of
 * resends and every record of every cluster, each in a stream; then ask for the verdicts.
 */
export class HistoryChecker {
  readonly resends: ResendLedger;
  readonly events = new Map<string, number>();
  readonly #verdicts = new Verdicts();
  readonly #clients = new Map<number, ClientBook>();
  readonly #topics: string[] = [];
  /** The last first occurrence by cluster, partition, node and producer. */
  readonly #last = new Map<string, number>();
  readonly #nextOffset = new Map<string, number>();
  /** Sequences that are there (1) or excused (2), by producer and epoch. */
  readonly #sequences = new Map<string, GrowingCounts>();
  /** Final refusals without an id, by client: gaps that they may have left. */
  readonly #nameless = new Map<number, number>();
  readonly #places = new Map<string, string>();
  #counts = { invoked: 0, answered: 0, failed: 0, unknown: 0, delivered: 0, duplicates: 0 };

  constructor(resends = new ResendLedger()) {
    this.resends = resends;
  }

  async readHistory(path: string): Promise<void> {
    for await (const entry of readHistory(path)) this.note(entry);
  }

  /** One entry of the history. */
  note({ kind, client, n, words }: HistoryEntry): void {
    const [word = '', ...rest] = words;
    if (kind === 'e') {
      this.events.set(word, (this.events.get(word) ?? 0) + 1);
      return;
    }
    const book = this.#book(client);
    if (kind === 'i') {
      this.#counts.invoked++;
      book.outcomes.set(n, outcome.invoked);
      book.topics.set(n, this.#topicIndex(word));
    } else if (kind === 'o') {
      this.#counts.answered++;
      book.outcomes.set(n, outcome.ok);
      book.ids.set(n, word);
      // If it is not there it is lost, and no hole beside.
      this.#sequence(word, 2);
      const [cluster, partition, offset] = rest;
      const isPlaced = offset !== undefined && Number(offset) >= 0;
      if (isPlaced) this.#places.set(`${cluster} ${word}`, `${partition} ${offset}`);
    } else if (kind === 'f') {
      this.#counts.failed++;
      book.outcomes.set(n, outcome.failed);
      const [id] = rest;
      if (id === undefined) this.#nameless.set(client, (this.#nameless.get(client) ?? 0) + 1);
      else this.#sequence(id, 2);
    } else if (kind === '?') {
      this.#counts.unknown++;
      book.outcomes.set(n, outcome.unknown);
    } else book.resent.increment(n);
  }

  /** One record of a dump. */
  found(record: DumpRecord): void {
    const { cluster, topic, partition, offset, id, key } = record;
    const at = `${cluster} ${topic}/${partition}@${offset} ${id}`;
    this.#checkOffset(record);
    this.#counts.delivered++;
    const name = readPayload(record);
    const book = name === undefined ? undefined : this.#clients.get(name.client);
    const state = name === undefined ? 0 : (book?.outcomes.get(name.n) ?? 0);
    if (name === undefined || book === undefined || state === outcome.none) {
      this.#verdicts.add('invented', `${at} holds ${shortOf(record)}`);
      return;
    }
    const { client, n } = name;
    const what = `${at} is message ${n} of client ${client}`;
    if (key !== payloadKey(n)) this.#verdicts.add('invented', `${what} with key ${key}`);
    if (this.#topics[book.topics.get(n)] !== topic) {
      this.#verdicts.add('misplaced', `${what}, sent to ${this.#topics[book.topics.get(n)]}`);
    }
    if (state === outcome.failed) this.#verdicts.add('failed-delivered', what);
    this.#sequence(id, 1);
    this.#checkPlace(record);
    this.#checkTimes(book, n, id, { what, cluster });
    const bit = cluster === 'backup' ? 2 : 1;
    if ((book.where.get(n) & bit) === 0) this.#checkOrder(record, what);
    book.where.set(n, book.where.get(n) | bit);
  }

  /** A message that the node keeps for good: undeliverable or parked. It is not lost. */
  held(id: string, payload: Payload): void {
    const name = readPayload(payload);
    const book = name === undefined ? undefined : this.#clients.get(name.client);
    if (name === undefined || book === undefined || book.outcomes.get(name.n) === outcome.none) {
      this.#verdicts.add('invented', `held: ${id} ${shortOf(payload)}`);
      return;
    }
    book.where.set(name.n, book.where.get(name.n) | 4);
    this.#sequence(id, 2);
  }

  counts(): CheckCounts {
    return { ...this.#counts, resends: this.resends.lines };
  }

  /** What was found, once everything was fed in. */
  verdicts(enough: Enough = {}): Verdicts {
    for (const book of this.#clients.values()) this.#findLost(book);
    this.#findGaps();
    this.#findPlaces();
    for (const words of this.resends.contradictions) this.#verdicts.add('bad-note', words);
    this.#judgeWork(enough);
    return this.#verdicts;
  }

  #book(client: number): ClientBook {
    const known = this.#clients.get(client);
    if (known !== undefined) return known;
    const book = new ClientBook(client);
    this.#clients.set(client, book);
    return book;
  }

  #topicIndex(topic: string): number {
    const index = this.#topics.indexOf(topic);
    return index >= 0 ? index : this.#topics.push(topic) - 1;
  }

  #sequence(id: string, mark: number): void {
    const cut = id.lastIndexOf('-');
    const producer = id.slice(0, cut);
    const sequences = this.#sequences.get(producer) ?? new GrowingCounts();
    this.#sequences.set(producer, sequences);
    sequences.set(Number(id.slice(cut + 1)), mark);
  }

  #checkOffset({ cluster, topic, partition, offset }: DumpRecord): void {
    const line = `${cluster} ${topic}/${partition}`;
    const expected = this.#nextOffset.get(line) ?? 0;
    if (offset !== expected)
      this.#verdicts.add('hole', `${line}: expected offset ${expected}, found ${offset}`);
    this.#nextOffset.set(line, offset + 1);
  }

  /** Each occurrence but the first has a note, of this very cluster. */
  #checkTimes(
    book: ClientBook,
    n: number,
    id: string,
    { what, cluster }: { what: string; cluster: DumpRecord['cluster'] },
  ): void {
    const times = book.noteFound(n, cluster);
    const found = [book.found[0].get(n), book.found[1].get(n)] as const;
    if (times > 1) this.#counts.duplicates++;
    const known = book.ids.get(n);
    if (known === undefined) book.ids.set(n, id);
    if (known !== undefined && known !== id && book.resent.get(n) === 0) {
      this.#verdicts.add('unexplained-duplicate', `${what}, known as ${known}`);
      return;
    }
    // The first sending is not noted, and went to one of the two.
    const noted = this.resends.timesResent(id);
    const at = cluster === 'backup' ? 1 : 0;
    const over = Math.max(0, found[0] - noted[0]) + Math.max(0, found[1] - noted[1]);
    if (found[at] > noted[at] && over > 1 + book.resent.get(n))
      this.#verdicts.add(
        'unexplained-duplicate',
        `${what}, there for the ${times}. time, noted primary=${noted[0]} backup=${noted[1]}`,
      );
  }

  #checkOrder({ cluster, topic, partition, node, id }: DumpRecord, what: string): void {
    const cut = id.lastIndexOf('-');
    const line = `${cluster} ${topic}/${partition} ${node} ${id.slice(0, cut)}`;
    const sequence = Number(id.slice(cut + 1));
    const before = this.#last.get(line) ?? 0;
    if (sequence <= before) this.#verdicts.add('disordered', `${what}, after sequence ${before}`);
    else this.#last.set(line, sequence);
  }

  /** An answer that named a place is right when one of the occurrences is there. */
  #checkPlace({ cluster, id, partition, offset }: DumpRecord): void {
    const name = `${cluster} ${id}`;
    if (this.#places.get(name) === `${partition} ${offset}`) this.#places.delete(name);
  }

  #findPlaces(): void {
    for (const [name, place] of this.#places)
      this.#verdicts.add('misplaced', `${name} is not at ${place}, as was answered`);
  }

  #findLost(book: ClientBook): void {
    for (let n = 0; n <= book.outcomes.highest; n++) {
      if (book.outcomes.get(n) !== outcome.ok || book.where.get(n) !== 0) continue;
      const place = book.placeOf(n);
      const id = book.ids.get(n) ?? '';
      this.#verdicts.add('lost', `${id}, message ${n} of client ${book.client} (${place})`);
    }
  }

  /** An ordered producer's sequences are taken one after the other: none may be left out. */
  #findGaps(): void {
    for (const [producer, sequences] of this.#sequences) {
      const client = Number.parseInt(producer, 16);
      let excused = this.#nameless.get(client) ?? 0;
      for (let sequence = 1; sequence < sequences.highest; sequence++) {
        if (sequences.get(sequence) !== 0 || excused-- > 0) continue;
        this.#verdicts.add('hole', `${producer}-${sequence} is left out of what was taken`);
      }
    }
  }

  #judgeWork({ answered = 1, resends = 0, events = {} }: Enough): void {
    const judge = (what: string, found: number, wanted: number): void => {
      if (found < wanted)
        this.#verdicts.add('too-little', `${what}: ${found}, ${wanted} are to be shown`);
    };
    judge('answered', this.#counts.answered, answered);
    judge('resends', this.resends.lines, resends);
    for (const [kind, wanted] of Object.entries(events))
      judge(kind, this.events.get(kind) ?? 0, wanted);
  }
}

function shortOf({ value, headers }: Payload): string {
  return JSON.stringify({ value, headers }).slice(0, 120);
}
