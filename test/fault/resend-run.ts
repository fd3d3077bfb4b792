import assert from 'node:assert/strict';
// tidy-allow sleep: a cut comes at any instant, and this draws it
import { framesOf, RawClient } from '../support/raw-client.ts';
import { Seeded, seed } from '../support/seeded.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';
import { producerOfLane } from './layout.ts';

/** New messages of a producer on a connection. */
const newPerCycle = 150;
/** Answered ones that are sent again all the same, as a client does that lost the answers. */
const overlap = 50;

/** The value of a message. */
export const textOf = (sequence: number): string =>
  `message ${sequence} ${'v'.repeat(sequence % 90)}`;

/** What a test knows of one producer over all its connections. */
export interface Book {
  readonly producerId: bigint;
  readonly unordered: boolean;
  readonly topic: string;
  /** The place that the node gave, by sequence; offset -1: its answers did not say. */
  readonly places: Map<number, { partition: number; offset: number }>;
  next: number;
  lowestUnanswered: number;
  resent: number;
}

/** How {@link resendOverCuts} goes about it. */
export interface ResendOptions {
  readonly unordered: boolean;
  readonly rounds: number;
  /** Every other connection asks for `replicated`, the last one too. */
  readonly replicated?: boolean;
}

function note(book: Book, client: RawClient): void {
  for (const [sequence, { code, name, partition, offset }] of client.outcomes) {
    // After a restart it is not known of what is on its way whether it is confirmed.
    if (name === 'RETRY_LATER') continue;
    assert.equal(code, 0, `sequence ${sequence} was answered ${name}`);
    const before = book.places.get(sequence);
    const place = { partition, offset };
    if (before === undefined || before.offset < 0) book.places.set(sequence, place);
    else if (offset >= 0) assert.deepEqual(place, before, 'another place');
  }
  assert.deepEqual(client.answeredTwice, [], 'answered twice on one connection');
  while (book.places.has(book.lowestUnanswered)) book.lowestUnanswered++;
}

/** Everything to send on a new connection: what is unanswered (and some more), then new ones. */
function toSend(book: Book, random: Seeded, { topic, more, replicated }: Sending): Buffer {
  const from = Math.max(1, book.lowestUnanswered - overlap);
  book.resent += book.next - from;
  book.next += more;
  const sequences = Array.from({ length: book.next - from }, (_, i) => from + i);
  const frames: Buffer[] = [];
  for (let at = 0; at < sequences.length; ) {
    const count = 1 + random.below(20);
    const run = sequences.slice(at, at + count);
    at += count;
    const first = run[0] as number;
    const batch = random.float() < 0.5;
    const how = { batch, partition: first % 2, replicated };
    frames.push(framesOf({ topic, first, values: run.map(textOf), ...how }));
  }
  return Buffer.concat(book.unordered ? random.shuffle(frames) : frames);
}

interface Sending {
  readonly topic: number;
  /** New messages. */
  readonly more: number;
  readonly replicated: boolean;
}

async function connect(server: TestServer, book: Book): Promise<[RawClient, number]> {
  const { producerId, unordered } = book;
  const client = await RawClient.connect(server.mqp, { producerId, unordered });
  const { topicId } = await client.open(book.topic);
  return [client, topicId];
}

/** A connection of each producer: it sends, and is cut somewhere. */
async function cutShort(
  server: TestServer,
  books: readonly Book[],
  random: Seeded,
  replicated: boolean,
): Promise<void> {
  const clients: RawClient[] = [];
  for (const book of books) {
    const [client, topic] = await connect(server, book);
    const bytes = toSend(book, random, { topic, more: newPerCycle, replicated });
    client.socket.write(bytes.subarray(0, 1 + random.below(bytes.length)));
    clients.push(client);
  }
  await passing(random.below(12));
  const kills = random.float() < 0.4;
  for (const client of clients) if (kills && random.float() < 0.5) client.cut();
  if (kills) await server.kill('SIGKILL');
  for (const [i, client] of clients.entries()) {
    client.cut();
    await client.closed;
    note(books[i] as Book, client);
  }
  if (kills) await server.restart();
}

/** The last connections send everything that is unanswered, until there is no more of it. */
async function settle(
  server: TestServer,
  book: Book,
  random: Seeded,
  replicated: boolean,
): Promise<void> {
  let more = 10;
  const isAnswered = async (): Promise<boolean> => {
    const [client, topic] = await connect(server, book);
    const from = Math.max(1, book.lowestUnanswered - overlap);
    client.socket.write(toSend(book, random, { topic, more, replicated }));
    more = 0;
    await client.answersTo(Array.from({ length: book.next - from }, (_, i) => from + i));
    client.cut();
    note(book, client);
    return book.lowestUnanswered === book.next;
  };
  await until(isAnswered, { what: 'every message to be answered', everyMs: 200 });
}

/** Only what was answered is sent again for certain: more cuts are drawn till then. */
const nothingAnswered = (books: readonly Book[], cycle: number): boolean =>
  books.some(({ places }) => places.size === 0) && cycle < 60;

/**
 * Producers, one for each of four lanes, whose connections are cut, and whose node is killed,
 * somewhere in so many rounds: each connection sends what is unanswered again, and the last waits
 * until all is answered.
 */
export async function resendOverCuts(
  server: TestServer,
  { unordered, rounds, replicated = false }: ResendOptions,
): Promise<readonly Book[]> {
  console.log(`seed=${seed} cycles=${rounds}`);
  const random = new Seeded(seed);
  const books = producerOfLane.map((producerId): Book => {
    const known = { places: new Map(), next: 1, lowestUnanswered: 1, resent: 0 };
    return { producerId, unordered, topic: uniqueTopic('resend'), ...known };
  });
  for (let cycle = 0; cycle < rounds || nothingAnswered(books, cycle); cycle++)
    await cutShort(server, books, random, replicated && cycle % 2 === 1);
  const answered = books.every(({ places }) => places.size > 0);
  assert(answered, 'no cut came after an answer: nothing answered was sent again');
  for (const book of books) await settle(server, book, random, replicated);
  return books;
}
