import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readKafka, resentIds } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { untilDrained } from '../support/node-state.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { drawnLayout, layouts } from './layout.ts';
import { resendOverCuts, textOf } from './resend-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cycles = countOf('MQP_RESEND_CYCLES', isLong ? 8 : 4);
const skip = skipWithoutKafka();
const cases = (isLong ? layouts : [drawnLayout()]).flatMap((args) =>
  [false, true].map((unordered) => ({ args, unordered })),
);

for (const { args, unordered } of cases) {
  const kind = unordered ? 'unordered' : 'ordered';
  const title = `what an ${kind} producer resends over cuts and kills is twice in Kafka only if noted`;
  test(`${title}, ${args.join(' ')}`, { skip }, async () => {
    const kafkaBrokers = await sharedKafka();
    const server = await startServer({ backend: 'kafka', kafkaBrokers, args });
    const book = await resendOverCuts(server, unordered, cycles);
    await untilDrained(server);
    const noted = resentIds(server.dataDir);
    const seen = new Map<number, string>();
    const last = new Map<number, number>();
    let duplicates = 0;
    for (const { id, partition, value } of await readKafka(kafkaBrokers, [book.topic])) {
      const sequence = Number(id.split('-')[2]);
      assert.equal(value, textOf(sequence));
      if (seen.has(sequence)) {
        duplicates++;
        assert(noted.has(id), `${id} came twice, and the node noted no sending again`);
        continue;
      }
      seen.set(sequence, id);
      if (unordered) continue;
      assert(sequence > (last.get(partition) ?? 0), `${id} is out of order`);
      last.set(partition, sequence);
    }
    const all = Array.from({ length: book.next - 1 }, (_, i) => i + 1);
    assert.deepEqual(
      all.filter((sequence) => !seen.has(sequence)),
      [],
    );
    assert.equal(seen.size, all.length);
    const { resent } = book;
    console.log(`messages=${all.length} resent=${resent} lost=0 duplicates=${duplicates}`);
  });
}
