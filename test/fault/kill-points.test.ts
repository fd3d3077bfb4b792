import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { setTopics } from '../support/kafka-topics.ts';
import { countOf } from '../support/seeded.ts';
import { uniqueTopic } from '../support/topics.ts';
import { within } from '../support/wait.ts';
import { heldBy } from './checker/held.ts';
import { FaultRun } from './fault-run.ts';
import {
  type KillPoint,
  killPointBuild,
  killPointEnv,
  killPoints,
  refusalPoints,
} from './kill-points.ts';
import { layoutsToRun } from './layout.ts';

// `npm test` draws a few of the points, the larger counts hit each of them three times.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const rounds = countOf('MQP_KILL_POINT_ROUNDS', isLong ? 3 : 1);
const drawn = isLong ? killPoints.length : 4;
const skip = skipWithoutKafka();

/** What is to happen around a death. */
interface Around {
  /** When the node runs that is to die. */
  before?(): Promise<void>;
  /** When it is dead, before it is brought back. */
  after?(): Promise<void>;
}

/** Lets the node die at a point under load, and brings it back. */
async function dieAt(run: FaultRun, point: KillPoint, around: Around = {}): Promise<void> {
  const passing = point.isRare === true ? 1 : 1 + run.random.below(40);
  await run.server.kill('SIGKILL');
  run.server.spawn([], killPointEnv(point, passing));
  await around.before?.();
  const { signal, code } = await within(run.server.exited, 60_000, `${point.name} to be reached`);
  assert.equal(signal, 'SIGKILL', `${point.name}: the node ended by itself with ${code}`);
  await around.after?.();
  await run.back('kill');
}

for (const args of layoutsToRun(isLong)) {
  const title = `a node that dies at any named point loses nothing that it answered, ${args.join(' ')}`;
  test(title, { skip }, async () => {
    const server = { entry: killPointBuild(killPoints), args };
    const run = await FaultRun.start({ brokers: await sharedKafka(), server, everyLane: true });
    let hits = 0;
    for (let round = 0; round < rounds; round++) {
      for (const point of run.random.shuffle(killPoints).slice(0, drawn)) {
        await dieAt(run, point);
        hits++;
      }
    }
    console.log(`points=${drawn} of ${killPoints.length} hits=${hits}`);
    await run.endWell({ answered: 100 * hits, events: { kill: hits } });
  });
}

test('a node that dies beside a final refusal never delivers what it refused', {
  skip,
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('refusal');
  const entry = killPointBuild(refusalPoints);
  // Replicated, so that the refusal is the answer.
  const crew = { topics: [topic], ack: 'replicated', window: 8, clients: 2 } as const;
  const run = await FaultRun.start({ brokers, server: { entry }, crew });
  for (let round = 0; round < rounds; round++) {
    for (const point of refusalPoints) {
      await dieAt(
        run,
        { ...point, isRare: true },
        {
          // From now on the topic takes no message with more than a few letters: behind the node's
          // back, which would refuse them itself …
          before: async () => {
            await run.crew.untilAnswered(50);
            await setTopics(brokers, [topic], { 'max.message.bytes': '250' });
          },
          // … and all of them by the time the node is back: what it still had in its outbox would
          // come.
          after: () => setTopics(brokers, [topic], {}),
        },
      );
    }
  }
  const { counts, verdicts } = await run.end({ events: { kill: rounds * refusalPoints.length } });
  assert(counts.failed > 0, 'nothing was refused');
  // What was refused with its batch is sent again alone, and may come behind later ones.
  assert.deepEqual(
    [...verdicts.counts.keys()].filter((guilt) => guilt !== 'disordered'),
    [],
  );
  let undeliverable = 0;
  await heldBy(run.address, () => undeliverable++);
  assert(undeliverable >= rounds, 'Kafka itself refused nothing');
});
