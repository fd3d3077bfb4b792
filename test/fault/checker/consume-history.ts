import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** Which message was delivered. */
export interface DeliveredPlace {
  readonly cluster: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** One delivery, as its consumer saw it. */
export interface DeliveredEntry extends DeliveredPlace {
  /** Which life of which node delivered it: each start of a node is another one. */
  readonly life: number;
  readonly attempt: number;
  readonly id: string;
  /** It came while its consumer did not read: when it was granted is not known. */
  readonly isLate: boolean;
}

/**
 * One line of what consumers saw. MS is one clock's, and the lines are in its order; LEASE is the
 * number of a delivery.
 *
 *     d MS LEASE LIFE ATTEMPT ID CLUSTER PARTITION OFFSET TOPIC   delivered
 *     l …                                        the same, by a consumer that did not read
 *     a MS LEASE recorded|committed              an ack is about to leave
 *     k MS LEASE                                 it was answered: it counts
 *     n MS LEASE retry|dead                      a refusal is about to leave
 *     m MS LEASE                                 it was answered: it counts
 *     t MS LEASE                                 it was granted
 *     s MS LEASE                                 a longer lease is about to be asked for
 *     x MS LEASE CODE                            the lease was lost, or the outcome is not known
 *     K MS LIFE                                  a node is about to be killed
 *     O MS, P MS                                 its cluster goes away, and is there again
 */
export interface ConsumeEntry {
  readonly kind: string;
  readonly ms: number;
  /** LEASE or LIFE. */
  readonly number: number;
  readonly words: readonly string[];
}

const FLUSH_CHARACTERS = 64 * 1024;

/** The append-only history of a run's consumers, outside of the disk that is at fault. */
export class ConsumeHistory {
  readonly path: string;
  readonly counts = { delivered: 0, acked: 0, refused: 0, lost: 0 };
  readonly #fd: number;
  #text = '';
  #leases = 0;
  #isClosed = false;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a', 0o600);
  }

  /** Answers the number of the lease. */
  delivered(entry: DeliveredEntry): number {
    const { life, attempt, id, cluster, partition, offset, topic, isLate } = entry;
    const lease = this.#leases++;
    this.counts.delivered++;
    const what = `${life} ${attempt} ${id} ${cluster} ${partition} ${offset} ${topic}`;
    this.#add(isLate ? 'l' : 'd', `${lease} ${what}`);
    return lease;
  }

  ack(lease: number, level: 'recorded' | 'committed'): void {
    this.#add('a', `${lease} ${level}`);
  }

  acked(lease: number): void {
    this.counts.acked++;
    this.#add('k', `${lease}`);
  }

  refuse(lease: number, how: 'retry' | 'dead'): void {
    this.#add('n', `${lease} ${how}`);
  }

  refused(lease: number): void {
    this.counts.refused++;
    this.#add('m', `${lease}`);
  }

  extend(lease: number): void {
    this.#add('s', `${lease}`);
  }

  extended(lease: number): void {
    this.#add('t', `${lease}`);
  }

  /** An ack, a refusal or an extension did not count, or may not. */
  lost(lease: number, code: string): void {
    this.counts.lost++;
    this.#add('x', `${lease} ${code}`);
  }

  killed(life: number): void {
    this.#add('K', `${life}`);
  }

  away(isAway: boolean): void {
    this.#add(isAway ? 'O' : 'P', '0');
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

  #add(kind: string, words: string): void {
    if (this.#isClosed) return;
    this.#text += `${kind} ${Math.round(performance.now())} ${words}\n`;
    if (this.#text.length >= FLUSH_CHARACTERS) this.flush();
  }
}

/** A history, line by line. */
export async function* readConsumeHistory(path: string): AsyncGenerator<ConsumeEntry> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const [kind = '', ms = '', number = '', ...words] = line.split(' ');
    yield { kind, ms: Number(ms), number: Number(number), words };
  }
}
