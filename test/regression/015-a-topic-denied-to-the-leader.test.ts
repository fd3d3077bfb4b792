import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  apiKey,
  apiOf,
  correlationOfAnswer,
  correlationOfRequest,
  type Relay,
  startFramedKafka,
} from '../support/framed-kafka.ts';
import { GroupLog } from '../support/group-log.ts';
import { skipWithoutKafka } from '../support/kafka.ts';
import { kafkaCluster } from '../support/kafka-cluster.ts';
import { until } from '../support/wait.ts';
import { FakeClock } from '../unit/backend/embedded/doubles.ts';

const timeoutMs = 60_000;
const topic = 'orders';
/** Not there, and as long: frames keep their length. */
const missing = 'absent';
/** The client id in the member's requests. */
const leader = 'node-a';

/** Denies the topic once, to the leader while it assigns. */
class Denials {
  count = 0;
  #isAssigning = false;

  relay(): Relay {
    const denied = new Set<number>();
    return {
      asked: (request) => {
        const api = apiOf(request);
        if (api === apiKey.joinGroup) this.#isAssigning = true;
        if (api === apiKey.syncGroup) this.#isAssigning = false;
        const asks = api === apiKey.metadata && this.#isAssigning && request.includes(topic);
        if (!asks || !request.includes(leader) || this.count > 0) return;
        this.count++;
        denied.add(correlationOfRequest(request));
        rename(request, topic, missing);
      },
      answered(answer, give) {
        if (denied.delete(correlationOfAnswer(answer))) rename(answer, missing, topic);
        give(answer);
      },
    };
  }
}

function rename(frame: Buffer, from: string, to: string): void {
  frame.write(to, frame.indexOf(from), 'latin1');
}

// A broker that had been frozen denied __mqproxy.delay in the moment in which the group's only
// member, its leader, assigned its partitions. The group was stable with nothing given to anybody,
// and stayed so: no delayed message fired until the node was started again.
test('a group whose leader was denied the topic as it assigned is read all the same', {
  skip: skipWithoutKafka(),
}, async () => {
  const denials = new Denials();
  const address = await startFramedKafka(() => denials.relay());
  const { topics, consumers } = kafkaCluster(address);
  await topics.create({ name: topic, partitions: 16, replicationFactor: 1 });
  const clock = new FakeClock();
  const log = new GroupLog();
  kafkaCluster(address, clock).consumers.join(log.options('billing', [topic], leader));
  await until(() => log.rounds.length > 0, { timeoutMs });
  assert.deepEqual([denials.count, log.rounds], [1, [[]]]);
  const described = await consumers.describeGroup('billing');
  assert.equal(described?.state, 'stable');
  clock.advance(10_000);
  await log.has(16, timeoutMs);
});
