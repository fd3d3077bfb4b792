import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAll } from '../support/raw-client.ts';
import { countOf } from '../support/seeded.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { type Book, resendOverCuts, textOf } from './resend-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cycles = countOf('MQP_RESEND_CYCLES', isLong ? 14 : 7);

/** Everything is in the embedded log once, at its place, and in order where that was asked for. */
async function checkedRun(server: TestServer, unordered: boolean, rounds: number): Promise<void> {
  const books = await resendOverCuts(server, { unordered, rounds });
  for (const book of books) await checkBook(server, book);
}

async function checkBook(server: TestServer, book: Book): Promise<void> {
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
    // On a worker one, on the main thread the other.
    const args = ['--lane.host', unordered ? 'inline' : 'worker'];
    await checkedRun(await startServer({ args }), unordered, cycles);
  });
}

test('without the dedupe window the same is noticed', async () => {
  const file = 'src/produce/intake/dedupe-window.js';
  const entry = spoiltBuild({ file, find: /(look\(sequence\) \{)/, replace: "$1 return 'new';" });
  const server = await startServer({ entry });
  await assert.rejects(checkedRun(server, false, 4), /a message was stored twice|another place/);
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
