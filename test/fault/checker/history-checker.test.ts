import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../support/temp-dir.ts';
import { History } from './history.ts';
import { type DumpRecord, type Enough, HistoryChecker } from './history-checker.ts';
import { type Payload, payloadKey, payloadOf, readPayload } from './payload.ts';
import type { ResendLine } from './resend-ledger.ts';
import type { Guilt } from './verdicts.ts';

/** A run by hand: what clients wrote down, what is in the logs, what the node noted. */
interface Run {
  readonly history: string;
  readonly dump?: readonly DumpRecord[];
  readonly resends?: readonly [sequence: number, count: number, other?: Partial<ResendLine>][];
  readonly held?: readonly number[];
  readonly enough?: Enough;
}

const PRODUCER = '0000000000000001';
const idOf = (sequence: number) => `${PRODUCER}-0-${sequence}`;

/** Message n (sequence n + 1) of client 1, unless it is told otherwise. */
function record(n: number, offset: number, other: Partial<DumpRecord> = {}): DumpRecord {
  return {
    cluster: 'primary',
    topic: 'orders',
    partition: 0,
    offset,
    id: idOf(n + 1),
    node: 'a',
    key: payloadKey(n),
    ...payloadOf(1, n),
    ...other,
  };
}

const inOrder = (...ns: number[]) => ns.map((n, offset) => record(n, offset));
const invoked = (count: number) =>
  Array.from({ length: count }, (_, n) => `i 1 ${n} orders\n`).join('');
const ok = (...ns: number[]) => ns.map((n) => `o 1 ${n} ${idOf(n + 1)}\n`).join('');

async function judge({ history, dump = [], resends = [], held = [], enough }: Run) {
  const path = join(tempDir(), 'history');
  writeFileSync(path, history);
  const checker = new HistoryChecker();
  await checker.readHistory(path);
  for (const [first, count, other] of resends) {
    const ids = [[PRODUCER, 0, first, count]] as const;
    const lanes = { first: 100 + first, last: 99 + first + count };
    checker.resends.add({ cause: 'start', lane: 0, cluster: 0, ...lanes, ids, ...other });
  }
  for (const entry of dump) checker.found(entry);
  for (const n of held) checker.held(idOf(n + 1), payloadOf(1, n));
  return checker.verdicts(enough);
}

const three = invoked(3) + ok(0, 1, 2);
const placed = `${invoked(1)}o 1 0 ${idOf(1)} primary 0 0\n`;
const refused = `${invoked(3)}${ok(0, 2)}f 1 1 UNDELIVERABLE ${idOf(2)}\n`;
const unanswered = invoked(3) + ok(0, 2);
const headed = 'i 1 13 orders\n';
const withHeaders = payloadOf(1, 13).headers;
const headedBy = (headers: Payload['headers']) => record(13, 0, { headers, id: idOf(1) });
const valueless = 'i 1 7 orders\n';

/** Each history that is bad in one way, beside its twin that differs as little as it can. */
const pairs: readonly (readonly [title: string, guilt: Guilt, bad: Run, good: Run])[] = [
  [
    'an answered message that is nowhere',
    'lost',
    { history: three, dump: inOrder(0, 1) },
    { history: unanswered.replace(ok(2), '').concat(ok(1)), dump: inOrder(0, 1) },
  ],
  [
    'the same, held by the node',
    'lost',
    { history: three, dump: inOrder(0, 2) },
    { history: three, dump: inOrder(0, 2), held: [1] },
  ],
  [
    'a refused message that was delivered',
    'failed-delivered',
    { history: refused, dump: inOrder(0, 1, 2) },
    { history: refused.replace('f 1 1 UNDELIVERABLE', '? 1 1 UNKNOWN'), dump: inOrder(0, 1, 2) },
  ],
  [
    'a message that nobody sent',
    'invented',
    { history: three, dump: [...inOrder(0, 1, 2), record(3, 3)] },
    { history: `${three}i 1 3 orders\n`, dump: [...inOrder(0, 1, 2), record(3, 3)] },
  ],
  [
    'a value with one other letter',
    'invented',
    { history: invoked(1), dump: [record(0, 0, { value: 'p1-n1-#00000000' })] },
    { history: invoked(1), dump: [record(0, 0)] },
  ],
  [
    'a header with another value',
    'invented',
    { history: headed, dump: [withHeaders.slice(0, -1).concat([['größe', '½']])].map(headedBy) },
    { history: headed, dump: [withHeaders].map(headedBy) },
  ],
  [
    'a header left out',
    'invented',
    { history: headed, dump: [withHeaders.slice(1)].map(headedBy) },
    { history: headed, dump: [withHeaders].map(headedBy) },
  ],
  [
    'an empty value in the place of none',
    'invented',
    { history: valueless, dump: [record(7, 0, { value: '', id: idOf(1) })] },
    { history: valueless, dump: [record(7, 0, { id: idOf(1) })] },
  ],
  [
    'the key of another message',
    'invented',
    { history: invoked(1), dump: [record(0, 0, { key: payloadKey(1) })] },
    { history: invoked(1), dump: [record(0, 0, { key: payloadKey(50) })] },
  ],
  [
    'a message in another topic',
    'misplaced',
    { history: invoked(1), dump: [record(0, 0, { topic: 'invoices' })] },
    { history: 'i 1 0 invoices\n', dump: [record(0, 0, { topic: 'invoices' })] },
  ],
  [
    'a message at another place than was answered',
    'misplaced',
    { history: placed, dump: [record(0, 0, { partition: 1 })] },
    { history: placed, dump: [record(0, 0)] },
  ],
  [
    'two messages of one producer in the wrong order',
    'disordered',
    { history: three, dump: inOrder(0, 2, 1) },
    {
      history: three,
      dump: [record(0, 0), record(2, 1), record(1, 0, { partition: 1 })],
    },
  ],
  [
    'the wrong order of one node',
    'disordered',
    { history: three, dump: inOrder(1, 0, 2) },
    { history: three, dump: [record(1, 0), record(0, 1, { node: 'b' }), record(2, 2)] },
  ],
  [
    'a duplicate that nobody noted',
    'unexplained-duplicate',
    { history: three, dump: inOrder(0, 1, 2, 1), resends: [[1, 1]] },
    { history: three, dump: inOrder(0, 1, 2, 1), resends: [[1, 2]] },
  ],
  [
    'two duplicates for one note',
    'unexplained-duplicate',
    { history: three, dump: inOrder(0, 1, 2, 1, 1), resends: [[2, 1]] },
    {
      history: three,
      dump: inOrder(0, 1, 2, 1, 1),
      resends: [
        [2, 1],
        [1, 3],
      ],
    },
  ],
  [
    'one message under two ids',
    'unexplained-duplicate',
    { history: invoked(1), dump: [record(0, 0), record(0, 1, { id: idOf(2) })] },
    { history: `${invoked(1)}r 1 0\n`, dump: [record(0, 0), record(0, 1, { id: idOf(2) })] },
  ],
  [
    'a duplicate in the other cluster',
    'unexplained-duplicate',
    { history: three, dump: [...inOrder(0, 1, 2), record(2, 0, { cluster: 'backup' })] },
    {
      history: three,
      dump: [...inOrder(0, 1, 2), record(2, 0, { cluster: 'backup' })],
      resends: [[3, 1, { cluster: 1 }]],
    },
  ],
  [
    'a duplicate whose note names the other cluster',
    'unexplained-duplicate',
    {
      history: three,
      dump: [...inOrder(0, 1, 2, 2), record(2, 0, { cluster: 'backup' })],
      resends: [
        [3, 1, { cluster: 1 }],
        [3, 1, { cluster: 1 }],
      ],
    },
    {
      history: three,
      dump: [...inOrder(0, 1, 2, 2), record(2, 0, { cluster: 'backup' })],
      resends: [
        [3, 1],
        [3, 1, { cluster: 1 }],
      ],
    },
  ],
  [
    'a note that names fewer messages than its places',
    'bad-note',
    { history: three, dump: inOrder(0, 1, 2), resends: [[1, 2, { last: 103 }]] },
    { history: three, dump: inOrder(0, 1, 2), resends: [[1, 3, { last: 103 }]] },
  ],
  [
    'notes of one message at two places of its lane',
    'bad-note',
    {
      history: three,
      dump: inOrder(0, 1, 2),
      resends: [
        [1, 2],
        [2, 1, { first: 101, last: 101 }],
      ],
    },
    {
      history: three,
      dump: inOrder(0, 1, 2),
      resends: [
        [1, 2],
        [2, 1, { first: 102, last: 102 }],
      ],
    },
  ],
  [
    'notes of one producer in two lanes',
    'bad-note',
    {
      history: three,
      dump: inOrder(0, 1, 2),
      resends: [
        [1, 2],
        [3, 1, { lane: 1 }],
      ],
    },
    {
      history: three,
      dump: inOrder(0, 1, 2),
      resends: [
        [1, 2],
        [3, 1],
      ],
    },
  ],
  [
    'an offset that is left out',
    'hole',
    { history: three, dump: [record(0, 0), record(1, 1), record(2, 3)] },
    { history: three, dump: [record(0, 0), record(1, 1), record(2, 2)] },
  ],
  [
    'an unanswered message that is missing before one that was taken',
    'hole',
    { history: unanswered, dump: inOrder(0, 2) },
    { history: refused, dump: inOrder(0, 2) },
  ],
  [
    'a run that did too little',
    'too-little',
    { history: `${three}e kill\n`, dump: inOrder(0, 1, 2), enough: { events: { kill: 2 } } },
    { history: `${three}e kill\n`, dump: inOrder(0, 1, 2), enough: { events: { kill: 1 } } },
  ],
  [
    'a run in which nothing was answered',
    'too-little',
    { history: invoked(3) },
    { history: invoked(3) + ok(0), dump: inOrder(0) },
  ],
];

for (const [title, guilt, bad, good] of pairs) {
  test(`the checker finds ${title}, and its twin good`, async () => {
    const enough = guilt === 'too-little' ? {} : { answered: 0 };
    const red = await judge({ enough, ...bad });
    assert.deepEqual([...red.counts], [[guilt, 1]], String(red));
    const green = await judge({ enough, ...good });
    assert(green.isClean, String(green));
  });
}

test('a loss is placed as prefix, middle or postfix', async () => {
  const history = invoked(5) + ok(0, 1, 2, 3, 4);
  const verdicts = await judge({ history, dump: inOrder(1, 3) });
  assert.equal(verdicts.count('lost'), 3);
  const places = verdicts.examples.map((words) => /\((\w+)\)/.exec(words)?.[1]);
  assert.deepEqual(places, ['prefix', 'middle', 'postfix']);
  assert.throws(() => verdicts.assertClean(), /lost=3[\s\S]*-0-3, message 2 of client 1/);
});

test('a history that was written is read back, and an undecided end is no refusal', async () => {
  const path = join(tempDir(), 'history');
  const history = new History(path);
  for (let n = 0; n < 4; n++) history.invoke(1, n, 'orders');
  history.ok(1, 0, idOf(1), { cluster: 'primary', partition: 0, offset: 0 });
  history.failed(1, 1, 'UNKNOWN', idOf(2));
  history.failed(1, 2, 'CLOSED');
  history.resent(1, 3);
  history.event('kill');
  history.close();
  const checker = new HistoryChecker();
  await checker.readHistory(path);
  for (const entry of inOrder(0, 1)) checker.found(entry);
  checker.verdicts({ answered: 1, events: { kill: 1 } }).assertClean();
  const { invoked: begun, answered, failed, unknown } = checker.counts();
  assert.deepEqual([begun, answered, failed, unknown], [4, 1, 1, 1]);
});

test('a payload says which message it is, and nothing when a byte of it differs', () => {
  const { value, headers } = payloadOf(7, 123);
  assert(value !== null);
  assert.deepEqual(readPayload({ value, headers }), { client: 7, n: 123 });
  for (let at = 0; at < value.length; at++) {
    const letter = value[at] === '1' ? '2' : '1';
    const changed: string = `${value.slice(0, at)}${letter}${value.slice(at + 1)}`;
    assert.equal(readPayload({ value: changed, headers }), undefined, changed);
  }
  assert.equal(readPayload({ value: value.slice(0, -1), headers }), undefined);
});
