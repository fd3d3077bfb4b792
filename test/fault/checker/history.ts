import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** What can happen to a node or its backend while a history is written. */
export type HistoryEvent = 'kill' | 'power' | 'outage' | 'switch' | 'disk' | 'net' | 'clock';

/**
 * One entry of a history:
 *
 *     i CLIENT N TOPIC                         the message is about to leave
 *     o CLIENT N ID [CLUSTER PARTITION OFFSET] it was answered OK
 *     f CLIENT N CODE [ID]                     it was refused: it may never be delivered
 *     ? CLIENT N CODE [ID]                     its outcome is not known
 *     r CLIENT N                               its client sends it again, where no window sees it
 *     e KIND                                   what was done to the node
 */
export interface HistoryEntry {
  readonly kind: 'i' | 'o' | 'f' | '?' | 'r' | 'e';
  readonly client: number;
  readonly n: number;
  /** TOPIC, ID, CODE or KIND, and what follows it. */
  readonly words: readonly string[];
}

/** Where a message was put, as its answer says. */
export interface AnsweredPlace {
  readonly cluster: 'primary' | 'backup';
  readonly partition: number;
  readonly offset: number;
}

const FLUSH_CHARACTERS = 64 * 1024;
const UNDECIDED: ReadonlySet<string> = new Set(['UNKNOWN', 'SEQUENCE_TOO_OLD']);

/**
 * The append-only history of a run, written by its clients, outside of the disk that is at fault.
 * What has only an `i` ended without an answer.
 */
export class History {
  readonly path: string;
  answered = 0;
  readonly events = new Map<HistoryEvent, number>();
  readonly #fd: number;
  #text = '';
  #isClosed = false;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a', 0o600);
  }

  /** Before the first byte leaves. */
  invoke(client: number, n: number, topic: string): void {
    this.#add(`i ${client} ${n} ${topic}`);
  }

  ok(client: number, n: number, id: string, place?: AnsweredPlace): void {
    this.answered++;
    const where = place === undefined ? '' : ` ${place.cluster} ${place.partition} ${place.offset}`;
    this.#add(`o ${client} ${n} ${id}${where}`);
  }

  /** A refusal or an end without an outcome, by its code. */
  failed(client: number, n: number, code: string, id?: string): void {
    const kind = isUndecided(code) ? '?' : 'f';
    this.#add(`${kind} ${client} ${n} ${code}${id === undefined ? '' : ` ${id}`}`);
  }

  resent(client: number, n: number): void {
    this.#add(`r ${client} ${n}`);
  }

  event(kind: HistoryEvent): void {
    this.events.set(kind, (this.events.get(kind) ?? 0) + 1);
    this.#add(`e ${kind}`);
  }

  flush(): void {
    if (this.#text !== '') writeSync(this.#fd, this.#text);
    this.#text = '';
  }

  /** May be called again. */
  close(): void {
    this.flush();
    if (!this.#isClosed) closeSync(this.#fd);
    this.#isClosed = true;
  }

  #add(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= FLUSH_CHARACTERS) this.flush();
  }
}

/** What was refused with this code may have been delivered all the same. */
export function isUndecided(code: string): boolean {
  return UNDECIDED.has(code);
}

/** A history, entry by entry. */
export async function* readHistory(path: string): AsyncGenerator<HistoryEntry> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const [kind = '', first = '', second = '', ...rest] = line.split(' ');
    if (kind === 'e') yield { kind, client: 0, n: 0, words: [first] };
    else
      yield {
        kind: kind as HistoryEntry['kind'],
        client: Number(first),
        n: Number(second),
        words: rest,
      };
  }
}
