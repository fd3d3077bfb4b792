import assert from 'node:assert/strict';
// tidy-allow sleep: a cut comes at any instant, and this draws it
import { framesOf, RawClient } from '../support/raw-client.ts';
import { Seeded, seed } from '../support/seeded.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';

const newPerCycle = 400;
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
  /** The place that the node gave, by sequence. */
  readonly places: Map<number, { partition: number; offset: number }>;
  next: number;
  lowestUnanswered: number;
  resent: number;
}

function note(book: Book, client: RawClient): void {
  for (const [sequence, { code, name, partition, offset }] of client.outcomes) {
    assert.equal(code, 0, `sequence ${sequence} was answered ${name}`);
    const before = book.places.get(sequence);
    if (before === undefined || before.offset < 0) book.places.set(sequence, { partition, offset });
    else if (offset >= 0) assert.deepEqual({ partition, offset }, before, 'another place');
  }
  assert.deepEqual(client.answeredTwice, [], 'answered twice on one connection');
  while (book.places.has(book.lowestUnanswered)) book.lowestUnanswered++;
}

/** Everything to send on a new connection: what is unanswered (and some more), then new ones. */
function toSend(book: Book, random: Seeded, topic: number, more: number): Buffer {
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
    frames.push(framesOf({ topic, first, values: run.map(textOf), batch, partition: first % 2 }));
  }
  return Buffer.concat(book.unordered ? random.shuffle(frames) : frames);
}

/** One connection: sends, and is cut somewhere. */
async function cutShort(server: TestServer, book: Book, random: Seeded): Promise<void> {
  const { producerId, unordered } = book;
  const client = await RawClient.connect(server.mqp, { producerId, unordered });
  const { topicId } = await client.open(book.topic);
  const bytes = toSend(book, random, topicId, newPerCycle);
  client.socket.write(bytes.subarray(0, 1 + random.below(bytes.length)));
  await passing(random.below(12));
  const kills = random.float() < 0.4;
  if (kills && random.float() < 0.5) client.cut();
  if (kills) await server.kill('SIGKILL');
  client.cut();
  await client.closed;
  note(book, client);
  if (kills) await server.restart();
}

/** The last connection sends everything that is unanswered, and waits. */
async function settle(server: TestServer, book: Book, random: Seeded): Promise<void> {
  const { producerId, unordered } = book;
  const client = await RawClient.connect(server.mqp, { producerId, unordered });
  const { topicId } = await client.open(book.topic);
  const from = Math.max(1, book.lowestUnanswered - overlap);
  client.socket.write(toSend(book, random, topicId, 10));
  const sequences = Array.from({ length: book.next - from }, (_, i) => from + i);
  await client.answersTo(sequences);
  note(book, client);
  assert.equal(book.lowestUnanswered, book.next);
}

/** Only what was answered is sent again for certain: more cuts are drawn till then. */
const nothingAnswered = (book: Book, cycle: number): boolean =>
  book.places.size === 0 && cycle < 60;

/**
 * A producer whose connections are cut, and whose node is killed, somewhere in `rounds`
 * connections: each sends what is unanswered again, and the last waits until all is answered.
 */
export async function resendOverCuts(
  server: TestServer,
  unordered: boolean,
  rounds: number,
): Promise<Book> {
  console.log(`seed=${seed} cycles=${rounds}`);
  const random = new Seeded(seed);
  const book: Book = {
    producerId: 77n,
    unordered,
    topic: uniqueTopic('resend'),
    places: new Map(),
    next: 1,
    lowestUnanswered: 1,
    resent: 0,
  };
  for (let cycle = 0; cycle < rounds || nothingAnswered(book, cycle); cycle++)
    await cutShort(server, book, random);
  assert(book.places.size > 0, 'no cut came after an answer: nothing answered was sent again');
  await settle(server, book, random);
  return book;
}
