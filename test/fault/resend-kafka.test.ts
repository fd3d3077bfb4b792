import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Found, readKafka, resentIds } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { untilDrained } from '../support/node-state.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { layoutsToRun, untilLanesStored } from './layout.ts';
import { type Book, resendOverCuts, textOf } from './resend-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cycles = countOf('MQP_RESEND_CYCLES', isLong ? 8 : 4);
const skip = skipWithoutKafka();
const cases = layoutsToRun(isLong).flatMap((args) =>
  [false, true].map((unordered) => ({ args, unordered })),
);

for (const { args, unordered } of cases) {
  const kind = unordered ? 'unordered' : 'ordered';
  const title = `what an ${kind} producer resends over cuts and kills is twice in Kafka only if noted`;
  test(`${title}, ${args.join(' ')}`, { skip }, async () => {
    const kafkaBrokers = await sharedKafka();
    const server = await startServer({ backend: 'kafka', kafkaBrokers, args });
    const how = { unordered, rounds: cycles, replicated: true };
    const books = await resendOverCuts(server, how);
    await untilLanesStored(server);
    await untilDrained(server);
    const noted = resentIds(server.dataDir);
    for (const book of books) checkBook(book, await readKafka(kafkaBrokers, [book.topic]), noted);
  });
}

/** Everything is there, at the places that answers named, in order, and twice only if noted. */
function checkBook(book: Book, found: readonly Found[], noted: ReadonlySet<string>): void {
  const seen = new Map<number, string>();
  const last = new Map<number, number>();
  const where = new Set<string>();
  let duplicates = 0;
  for (const { id, partition, offset, value } of found) {
    const sequence = Number(id.split('-')[2]);
    assert.equal(value, textOf(sequence));
    where.add(`${sequence} at ${partition}/${offset}`);
    if (seen.has(sequence)) {
      duplicates++;
      assert(noted.has(id), `${id} came twice, and the node noted no sending again`);
      continue;
    }
    seen.set(sequence, id);
    if (book.unordered) continue;
    assert(sequence > (last.get(partition) ?? 0), `${id} is out of order`);
    last.set(partition, sequence);
  }
  const all = Array.from({ length: book.next - 1 }, (_, i) => i + 1);
  assert.deepEqual(
    all.filter((sequence) => !seen.has(sequence)),
    [],
  );
  assert.equal(seen.size, all.length);
  const placed = [...book.places].filter(([, place]) => place.offset >= 0);
  assert(placed.length > 0, 'no answer named a place');
  for (const [sequence, { partition, offset }] of placed) {
    const at = `${sequence} at ${partition}/${offset}`;
    assert(where.has(at), `message ${at}, as was answered, is not there`);
  }
  const counts = `resent=${book.resent} duplicates=${duplicates} placed=${placed.length}`;
  console.log(`messages=${all.length} lost=0 ${counts}`);
}
