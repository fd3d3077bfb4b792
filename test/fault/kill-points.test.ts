import assert from 'node:assert/strict';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { countOf } from '../support/seeded.ts';
import { uniqueTopic } from '../support/topics.ts';
import { within } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';
import {
  type KillPoint,
  killPointBuild,
  killPointEnv,
  killPoints,
  refusalPoints,
} from './kill-points.ts';
import { drawnLayout } from './layout.ts';

// `npm test` draws a few of the points, the larger counts hit each of them three times.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const rounds = countOf('MQP_KILL_POINT_ROUNDS', isLong ? 3 : 1);
const drawn = isLong ? killPoints.length : 4;
const skip = skipWithoutKafka();

/** Lets the node die at a point under load, and brings it back. */
async function dieAt(run: FaultRun, point: KillPoint): Promise<void> {
  const passing = point.isRare === true ? 1 : 1 + run.random.below(40);
  await run.server.kill('SIGKILL');
  run.server.spawn([], killPointEnv(point, passing));
  const { signal, code } = await within(run.server.exited, 60_000, `${point.name} to be reached`);
  assert.equal(signal, 'SIGKILL', `${point.name}: the node ended by itself with ${code}`);
  await run.back('kill');
}

test('a node that dies at any named point loses nothing that it answered', { skip }, async () => {
  const server = { entry: killPointBuild(killPoints), args: drawnLayout() };
  const run = await FaultRun.start({ brokers: await sharedKafka(), server });
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

test('a node that dies beside a final refusal never delivers what it refused', {
  skip,
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('refusal');
  const entry = killPointBuild(refusalPoints);
  // Replicated, so that the refusal is the answer.
  const crew = { topics: [topic], ack: 'replicated', window: 8, clients: 2 } as const;
  const run = await FaultRun.start({ brokers, server: { entry }, crew });
  await shrink(brokers, topic);
  const refused = () => run.crew.failures.get('MESSAGE_TOO_LARGE') ?? 0;
  for (let round = 0; round < rounds; round++) {
    for (const point of refusalPoints) await dieAt(run, { ...point, isRare: true });
  }
  const { counts, verdicts } = await run.end({ events: { kill: rounds * refusalPoints.length } });
  assert(refused() + counts.failed > 0, 'nothing was refused');
  // What was refused with its batch is sent again alone, and may come behind later ones.
  assert.deepEqual(
    [...verdicts.counts.keys()].filter((guilt) => guilt !== 'disordered'),
    [],
  );
});

/** From now on the topic takes no message with more than a few letters. */
async function shrink(brokers: string, topic: string): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const configEntries = [{ name: 'max.message.bytes', value: '250' }];
  const type = kafkajs.ConfigResourceTypes.TOPIC;
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type, name: topic, configEntries }],
  });
  await admin.disconnect();
}
