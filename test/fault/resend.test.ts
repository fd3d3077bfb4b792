import assert from 'node:assert/strict';
import { test } from 'node:test';
// tidy-allow sleep: a cut comes at any instant, and this draws it
import { framesOf, RawClient, readAll } from '../support/raw-client.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';

const cycles = countOf('MQP_RESEND_CYCLES', 14);
const newPerCycle = 400;
/** Answered ones that are sent again all the same, as a client does that lost the answers. */
const overlap = 50;

const textOf = (sequence: number): string => `message ${sequence} ${'v'.repeat(sequence % 90)}`;

/** What the test knows of one producer over all its connections. */
interface Book {
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

async function resendOverCuts(server: TestServer, unordered: boolean, rounds: number) {
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
  const records = await readAll(server.mqp, book.topic);
  const found = records.map(({ sequence }) => sequence);
  assert.equal(new Set(found).size, found.length, 'a message was stored twice');
  assert.deepEqual(
    found.toSorted((a, b) => a - b),
    Array.from({ length: book.next - 1 }, (_, i) => i + 1),
  );
  for (const { sequence, value } of records) assert.equal(value.toString(), textOf(sequence));
  checkPlaces(book, records);
  console.log(`messages=${found.length} resent=${book.resent} lost=0 duplicates=0`);
}

for (const unordered of [false, true]) {
  const kind = unordered ? 'unordered' : 'ordered';
  test(`what an ${kind} producer resends over cuts and kills is stored once`, async () => {
    await resendOverCuts(await startServer(), unordered, cycles);
  });
}

test('without the dedupe window the same is noticed', async () => {
  const file = 'src/produce/dedupe-window.js';
  const entry = spoiltBuild({ file, find: /(look\(sequence\) \{)/, replace: "$1 return 'new';" });
  const server = await startServer({ entry });
  await assert.rejects(
    resendOverCuts(server, false, 4),
    /a message was stored twice|another place/,
  );
});

function checkPlaces(book: Book, records: Awaited<ReturnType<typeof readAll>>): void {
  const last = new Map<number, number>();
  for (const { sequence, offset, partition } of withPartition(records)) {
    const place = book.places.get(sequence);
    if (place !== undefined && place.offset >= 0) assert.deepEqual(place, { partition, offset });
    if (book.unordered) continue;
    assert(sequence > (last.get(partition) ?? 0), `${sequence} is out of order`);
    last.set(partition, sequence);
  }
}

/** `readAll` goes partition by partition: where the offset falls, the next one begins. */
function withPartition(records: Awaited<ReturnType<typeof readAll>>) {
  let partition = 0;
  let before = -1;
  return records.map(({ sequence, offset }) => {
    if (offset <= before) partition++;
    before = offset;
    return { sequence, offset, partition };
  });
}
