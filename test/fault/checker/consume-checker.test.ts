import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../support/temp-dir.ts';
import {
  ConsumeChecker,
  type DeadLetter,
  type EnoughConsumed,
  type TopicRecord,
} from './consume-checker.ts';
import { ConsumeHistory, readConsumeHistory } from './consume-history.ts';
import type { Guilt } from './verdicts.ts';

const ATTEMPTS = 3;

/** A run by hand: what consumers wrote down, what is in the topics, what is dead. */
interface Run {
  readonly history: readonly string[];
  readonly topic?: readonly TopicRecord[];
  readonly letters?: readonly DeadLetter[];
  readonly enough?: EnoughConsumed;
}

const place = (offset: number) => ({ cluster: 0, topic: 'orders', partition: 0, offset });
const record = (offset: number, id = `1-0-${offset + 1}`) => ({ ...place(offset), id });
const onBackup = (offset: number) => ({ ...record(offset), cluster: 1 });

/** Delivery `lease` of message `offset`. */
function came(
  ms: number,
  lease: number,
  offset = 0,
  more: { attempt?: number; life?: number; cluster?: number } = {},
) {
  const { attempt = 1, life = 1, cluster = 0 } = more;
  return `d ${ms} ${lease} ${life} ${attempt} 1-0-${offset + 1} ${cluster} 0 ${offset} orders`;
}

const ack = (ms: number, lease: number, level = 'recorded') => [
  `a ${ms} ${lease} ${level}`,
  `k ${ms + 1} ${lease}`,
];
/** A commit that hangs until its node is killed, and the first message again. */
const hanging = [came(20, 2, 2), 'a 300 2 committed', 'K 450 1', came(451, 3, 0, { life: 2 })];
const refuse = (ms: number, lease: number, how = 'retry') => [
  `n ${ms} ${lease} ${how}`,
  `m ${ms + 1} ${lease}`,
];
const letter = (offset: number, more: Partial<DeadLetter> = {}): DeadLetter => ({
  id: `dead-${offset}`,
  of: place(offset),
  attempts: ATTEMPTS,
  cause: 'nack',
  ...more,
});

/** As many as a node looks back, the first message's last. */
const many = Array.from({ length: 4_096 }, (_, i) => letter(4_095 - i));

async function judge({ history, topic = [record(0)], letters = [], enough }: Run) {
  const path = join(tempDir(), 'history');
  writeFileSync(path, `${history.join('\n')}\n`);
  const checker = new ConsumeChecker(ATTEMPTS);
  await checker.readHistory(path);
  for (const one of topic) checker.found(one);
  for (const one of letters) checker.letter(one);
  return checker.verdicts(enough);
}

const failed = [came(1, 0), ...refuse(10, 0), came(20, 1, 0, { attempt: 2 })];
const dead = [...failed, ...refuse(30, 1), came(40, 2, 0, { attempt: 3 }), ...refuse(50, 2)];

/** Each history that is bad in one way, beside its twin that differs as little as it can. */
const pairs: readonly (readonly [title: string, guilt: Guilt, bad: Run, good: Run])[] = [
  [
    'an ack that counts behind a second lease of its message',
    'two-leases',
    { history: [came(1, 0), came(2, 1), ...ack(5, 0)] },
    { history: [came(1, 0), came(2, 1), ...ack(5, 1)] },
  ],
  [
    'a lease that counts behind a later one, and not behind one that was only read later',
    'two-leases',
    { history: [came(1, 0), came(2, 1, 0, { attempt: 2 }), ...ack(5, 0)] },
    { history: [came(1, 0), came(2, 1).replace('d', 'l'), ...ack(5, 0)] },
  ],
  [
    'a refusal that counts behind a second lease',
    'two-leases',
    { history: [came(1, 0), came(2, 1), ...refuse(5, 0), ...ack(7, 1)] },
    { history: [came(1, 0), ...refuse(2, 0), came(5, 1, 0, { attempt: 2 }), ...ack(7, 1)] },
  ],
  [
    'a lease that is made longer behind a second one',
    'two-leases',
    { history: [came(1, 0), came(2, 1), 's 5 0', 't 6 0', ...ack(7, 1)] },
    { history: [came(1, 0), came(2, 1), 's 5 0', 'x 6 0 LEASE_LOST', ...ack(7, 1)] },
  ],
  [
    'a committed ack of who owned nothing any more',
    'two-leases',
    { history: [came(1, 0), 'K 2 1', came(3, 1, 0, { life: 2 }), ...ack(5, 0, 'committed')] },
    { history: [came(1, 0), 'K 2 1', came(3, 1, 0, { life: 2 }), ...ack(5, 0), ...ack(7, 1)] },
  ],
  [
    'a delivery behind a committed ack',
    'after-commit',
    { history: [came(1, 0), ...ack(5, 0, 'committed'), 'K 7 1', came(9, 1, 0, { life: 2 })] },
    {
      history: [
        came(1, 0),
        ...ack(5, 0, 'committed'),
        'K 7 1',
        came(9, 1, 0, { life: 2 }).replace('d', 'l'),
      ],
    },
  ],
  [
    'a delivery behind a recorded ack, of a node that lives',
    'after-record',
    { history: [came(1, 0), ...ack(5, 0), 'K 7 2', came(9, 1, 0, { life: 2 })] },
    { history: [came(1, 0), ...ack(5, 0), 'K 7 1', came(9, 1, 0, { life: 2 })] },
  ],
  [
    'a delivery behind a recorded ack that was older than a commit takes',
    'after-record',
    { history: [came(1, 0), ...ack(5, 0), 'K 107 1', came(109, 1, 0, { life: 2 })] },
    {
      history: [
        came(1, 0),
        ...ack(5, 0),
        came(8, 1, 1),
        'a 90 1 committed',
        'K 107 1',
        came(109, 2, 0, { life: 2 }),
      ],
      topic: [record(0), record(1)],
    },
  ],
  [
    'a recorded ack that was older than a commit takes, beside one that nobody waited for',
    'after-record',
    {
      history: [
        came(1, 0),
        ...ack(5, 0),
        came(8, 1, 1),
        'a 9 1 committed',
        'x 10 1 UNKNOWN',
        'K 207 1',
        came(209, 2, 0, { life: 2 }),
      ],
      topic: [record(0), record(1)],
    },
    {
      history: [
        came(1, 0),
        ...ack(5, 0),
        came(8, 1, 1),
        'a 9 1 committed',
        'K 207 1',
        'x 208 1 UNKNOWN',
        came(209, 2, 0, { life: 2 }),
      ],
      topic: [record(0), record(1)],
    },
  ],
  [
    'a recorded ack from before a commit that was answered, though the next one hangs',
    'after-record',
    {
      history: [came(1, 0), ...ack(5, 0), came(8, 1, 1), ...ack(9, 1, 'committed'), ...hanging],
      topic: [record(0), record(1), record(2)],
    },
    { history: [came(1, 0), ...ack(5, 0), ...hanging], topic: [record(0), record(2)] },
  ],
  [
    'a recorded ack of who began after its cluster was back',
    'after-record',
    {
      history: ['O 1 0', 'P 2 0', came(3, 0), ...ack(5, 0), came(30, 1)],
      topic: [record(0)],
    },
    {
      history: ['O 1 0', came(3, 0), ...ack(5, 0), 'P 20 0', came(30, 1)],
      topic: [record(0)],
    },
  ],
  [
    'a recorded ack that one cluster forgot after the other was back',
    'after-record',
    {
      history: [
        came(1, 0, 0, { cluster: 1 }),
        'O 3 0',
        'P 9 0',
        came(10, 1, 1, { cluster: 1 }),
        ...ack(11, 1, 'committed'),
        ...ack(20, 0),
        came(30, 2, 0, { cluster: 1 }),
      ],
      topic: [onBackup(0), onBackup(1)],
    },
    {
      history: [
        came(1, 0, 0, { cluster: 1 }),
        'O 3 0',
        'P 9 0',
        came(10, 1, 1),
        ...ack(11, 1, 'committed'),
        ...ack(20, 0),
        came(30, 2, 0, { cluster: 1 }),
      ],
      topic: [onBackup(0), record(1)],
    },
  ],
  [
    'a recorded ack that is forgotten after its cluster was back',
    'after-record',
    {
      history: [
        'O 1 0',
        came(2, 0),
        'O 3 0',
        'P 9 0',
        came(10, 1, 1),
        ...ack(11, 1, 'committed'),
        ...ack(20, 0),
        came(30, 2),
      ],
      topic: [record(0), record(1)],
    },
    {
      history: [
        came(2, 0),
        'O 3 0',
        'P 9 0',
        came(10, 1, 1),
        ...ack(8, 0),
        ...ack(11, 1, 'committed'),
        came(30, 2),
      ],
      topic: [record(0), record(1)],
    },
  ],
  [
    'an attempt that is counted as if it had not failed',
    'attempts',
    { history: [came(1, 0), ...refuse(10, 0), came(20, 1), ...ack(25, 1)] },
    { history: [...failed, ...ack(25, 1)] },
  ],
  [
    'attempts that begin anew although no node was killed',
    'attempts',
    { history: [came(1, 0, 0, { attempt: 2 }), came(5, 1), ...ack(7, 1)] },
    { history: [came(1, 0, 0, { attempt: 2 }), 'K 3 1', came(5, 1), ...ack(7, 1)] },
  ],
  [
    'a failure that is forgotten by a kill which came long after it',
    'attempts',
    {
      history: [
        came(1, 0),
        ...refuse(2, 0),
        'K 300 1',
        came(310, 1, 0, { life: 2 }),
        ...ack(320, 1),
      ],
    },
    {
      history: [
        came(1, 0),
        ...refuse(2, 0),
        'K 100 1',
        came(310, 1, 0, { life: 2 }),
        ...ack(320, 1),
      ],
    },
  ],
  [
    'one attempt more than there may be',
    'attempts',
    { history: [came(1, 0, 0, { attempt: 4 }), ...ack(5, 0)] },
    { history: [came(1, 0, 0, { attempt: 3 }), ...ack(5, 0)] },
  ],
  [
    'a message that nobody handled',
    'lost',
    { history: [came(1, 0), 'a 2 0 recorded', 'x 3 0 LEASE_LOST'] },
    { history: [came(1, 0), 'a 2 0 recorded', 'x 3 0 UNKNOWN'] },
  ],
  [
    'a message that was never delivered',
    'lost',
    { history: [came(1, 0), ...ack(2, 0)], topic: [record(0), record(1)] },
    { history: [came(1, 0), ...ack(2, 0)], topic: [record(0), record(1, '1-0-1')] },
  ],
  [
    'a message that failed for good and is no dead letter',
    'lost',
    { history: dead },
    { history: dead, letters: [letter(0)] },
  ],
  [
    'a delivery of what is in no topic',
    'invented',
    { history: [came(1, 0), came(2, 1, 1), ...ack(3, 0), ...ack(5, 1)] },
    { history: [came(1, 0), ...ack(3, 0)] },
  ],
  [
    'a delivery under the id of another message',
    'misplaced',
    { history: [came(1, 0), ...ack(3, 0)], topic: [record(0, '1-0-9')] },
    { history: [came(1, 0), ...ack(3, 0)], topic: [record(0)] },
  ],
  [
    'two dead letters of one message',
    'dead-twice',
    { history: [...dead, 'K 60 1'], letters: [...many, letter(0, { id: 'another' })] },
    { history: [...dead, 'K 60 1'], letters: [...many, letter(0)] },
  ],
  [
    'a copy of a dead letter where the next owner could read the first',
    'dead-twice',
    { history: [...dead, 'K 60 1'], letters: [...many.slice(2), letter(0)] },
    { history: [...dead, 'K 60 1'], letters: [...many.slice(1), letter(0)] },
  ],
  [
    'a copy of a dead letter although no node was killed, and no cluster away',
    'dead-twice',
    { history: dead, letters: [letter(0), letter(0)] },
    { history: [...dead, 'O 60 0', 'P 70 0'], letters: [letter(0), letter(0)] },
  ],
  [
    'a dead letter that had deliveries left',
    'dead-early',
    { history: [...failed, ...refuse(30, 1)], letters: [letter(0, { attempts: 2 })] },
    { history: dead, letters: [letter(0)] },
  ],
  [
    'a dead letter for which its consumer did not ask',
    'dead-early',
    { history: failed, letters: [letter(0, { attempts: 2, cause: 'dead' })] },
    {
      history: [...failed, ...refuse(30, 1, 'dead')],
      letters: [letter(0, { attempts: 2, cause: 'dead' })],
    },
  ],
  [
    'a run that did too little',
    'too-little',
    { history: [came(1, 0), ...ack(2, 0), 'K 9 1'], enough: { kills: 2 } },
    { history: [came(1, 0), ...ack(2, 0), 'K 9 1'], enough: { kills: 1, acked: 1 } },
  ],
];

for (const [title, guilt, bad, good] of pairs) {
  test(`the checker finds ${title}, and its twin good`, async () => {
    const red = await judge(bad);
    assert.deepEqual([...red.counts], [[guilt, 1]], String(red));
    const green = await judge(good);
    assert(green.isClean, String(green));
  });
}

test('a history of consumers that was written is read back', async () => {
  const path = join(tempDir(), 'history');
  const history = new ConsumeHistory(path);
  const one = { ...place(7), life: 3, attempt: 2, id: '1-0-8', isLate: false };
  const lease = history.delivered(one);
  history.delivered({ ...one, isLate: true });
  history.extend(lease);
  history.extended(lease);
  history.ack(lease, 'committed');
  history.acked(lease);
  history.refuse(1, 'dead');
  history.lost(1, 'LEASE_LOST');
  history.killed(3);
  history.away(true);
  history.away(false);
  history.close();
  const lines: string[] = [];
  for await (const { kind, number, words } of readConsumeHistory(path)) {
    lines.push([kind, number, ...words].join(' '));
  }
  assert.deepEqual(lines, [
    'd 0 3 2 1-0-8 0 0 7 orders',
    'l 1 3 2 1-0-8 0 0 7 orders',
    's 0',
    't 0',
    'a 0 committed',
    'k 0',
    'n 1 dead',
    'x 1 LEASE_LOST',
    'K 3',
    'O 0',
    'P 0',
  ]);
});
