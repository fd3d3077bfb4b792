import assert from 'node:assert/strict';
import { createServer, connect as dial, type Socket } from 'node:net';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { GroupLog } from '../support/group-log.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaCluster } from '../support/kafka-cluster.ts';
import { until } from '../support/wait.ts';
import { FakeClock } from '../unit/backend/embedded/doubles.ts';

const timeoutMs = 60_000;
const topic = 'orders';
/** Not there, and as long: frames keep their length. */
const missing = 'absent';
/** The client id in the member's requests. */
const leader = 'node-a';
const apiKeys = { metadata: 3, joinGroup: 11, syncGroup: 14 };

/** Between clients and a broker: denies the topic once, to the leader while it assigns. */
class DenyingProxy {
  targetPort = 0;
  denials = 0;
  readonly #server = createServer((client) => this.#link(client));
  #isAssigning = false;

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    cleanUp(() => void this.#server.close());
    const address = this.#server.address();
    assert.ok(address !== null && typeof address === 'object');
    return address.port;
  }

  #link(client: Socket): void {
    const broker = dial(this.targetPort, '127.0.0.1');
    const denied = new Set<number>();
    client.on(
      'data',
      byFrame((request) => {
        const api = request.readInt16BE(4);
        if (api === apiKeys.joinGroup) this.#isAssigning = true;
        if (api === apiKeys.syncGroup) this.#isAssigning = false;
        const asks = api === apiKeys.metadata && this.#isAssigning && request.includes(topic);
        if (asks && request.includes(leader) && this.denials === 0) {
          this.denials++;
          denied.add(request.readInt32BE(8));
          rename(request, topic, missing);
        }
        broker.write(request);
      }),
    );
    broker.on(
      'data',
      byFrame((answer) => {
        if (denied.delete(answer.readInt32BE(4))) rename(answer, missing, topic);
        client.write(answer);
      }),
    );
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      one.on('error', () => one.destroy());
      one.on('close', () => other.destroy());
    }
  }
}

function byFrame(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const bytes = 4 + rest.readInt32BE(0);
      onFrame(rest.subarray(0, bytes));
      rest = rest.subarray(bytes);
    }
  };
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
  const proxy = new DenyingProxy();
  const address = `127.0.0.1:${await proxy.start()}`;
  const config = { 'advertised.listeners': `PLAINTEXT://${address}` };
  proxy.targetPort = (await startKafka({ config })).port;
  const { topics, consumers } = kafkaCluster(address);
  await topics.create({ name: topic, partitions: 16, replicationFactor: 1 });
  const clock = new FakeClock();
  const log = new GroupLog();
  kafkaCluster(address, clock).consumers.join(log.options('billing', [topic], leader));
  await until(() => log.rounds.length > 0, { timeoutMs });
  assert.deepEqual([proxy.denials, log.rounds], [1, [[]]]);
  const described = await consumers.describeGroup('billing');
  assert.equal(described?.state, 'stable');
  clock.advance(10_000);
  await log.has(16, timeoutMs);
});
