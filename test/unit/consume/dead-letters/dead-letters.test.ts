import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../../../src/base/clock.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { DeadLetters } from '../../../../src/consume/dead-letters/dead-letters.ts';
import type { SettlePolicy } from '../../../../src/consume/lease/settle.ts';
import type { PolicyOverride, RetrySettings } from '../../../../src/consume/retry/retry-policy.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { DeadClusterDouble, failureOf, wireRecord } from '../dead-doubles.ts';
import { EngineUnderTest } from '../engine-doubles.ts';

const general: RetrySettings = {
  attempts: 4,
  backoff: { min: 1000, max: 600_000, jitterPercent: 0, table: [] },
  inPlaceMax: 600_000,
  onExhausted: 'dead',
  ttl: 'off',
  budget: { burst: 2, perMinute: 6, perHundredAcks: 10 },
  policies: {},
};

const topicSettings = {
  config: {},
  madeWith: {},
  partitions: 1,
  replicationFactor: 'auto',
} as const;

class Setting {
  readonly cluster = new DeadClusterDouble();
  nowMs = 0;
  delayLog: string | undefined;
  readonly dead: DeadLetters;

  constructor(policies: Record<string, PolicyOverride> = {}) {
    this.dead = new DeadLetters({
      settings: { ...general, policies },
      deadTopic: topicSettings,
      retryTopic: ({ topic, group }) => {
        const config = { 'retention.ms': `of ${topic}, ${group}` };
        return { ...topicSettings, config };
      },
      cluster: (number) => (number === 0 ? this.cluster : undefined),
      delayLog: () => this.delayLog,
      clock: {
        now: () => 0,
        monotonic: () => this.nowMs,
        setTimer: () => ({ cancel: () => {} }),
      },
      random: { bytes: (count) => new Uint8Array(count), float: () => 0 },
      log: createLogger('silent'),
      nodeId: 1n,
    });
  }

  get policy(): SettlePolicy {
    return this.dead.policyOf('billing', 'orders');
  }
}

test('a message is tried again with growing waits, then it is moved', () => {
  const { policy, dead } = new Setting();
  const decisions = [1, 2, 3, 4].map((attempt) => policy.decide(failureOf({ attempt })));
  assert.deepEqual(decisions, [
    { kind: 'retry', delayMs: 1000 },
    { kind: 'retry', delayMs: 2000 },
    { kind: 'retry', delayMs: 4000 },
    { kind: 'move' },
  ]);
  assert.deepEqual(dead.numbers.retries, { dead: 0, nack: 3, expiry: 0 });
});

test('a wait that the consumer asked for is kept, up to what a place may hold', () => {
  const { policy } = new Setting();
  const asked = (askedDelayMs: number) => policy.decide(failureOf({ askedDelayMs }));
  assert.deepEqual(asked(0), { kind: 'retry', delayMs: 0 });
  assert.deepEqual(asked(7), { kind: 'retry', delayMs: 7 });
  assert.deepEqual(asked(3_600_000), { kind: 'retry', delayMs: 600_000 });
});

test('the word dead counts at the first attempt, whatever the budget and the policy say', () => {
  const { policy } = new Setting({ 'orders/billing': { onExhausted: 'block' } });
  for (let i = 0; i < 9; i++) {
    assert.deepEqual(policy.decide(failureOf({ cause: 'dead' })), { kind: 'move' });
  }
});

test('without a token an exhausted message waits, and goes when time has made one', () => {
  const setting = new Setting();
  const { policy, dead } = setting;
  const exhausted = failureOf({ attempt: 4, cause: 'expiry' });
  assert.equal(policy.decide(exhausted).kind, 'move');
  assert.equal(policy.decide(exhausted).kind, 'move');
  assert.deepEqual(policy.decide(exhausted), { kind: 'wait', delayMs: 1_000 });
  assert.deepEqual(dead.budgets(), [
    { group: 'billing', topic: 'orders', tokens: 0, isHolding: true },
  ]);
  setting.nowMs = 10_000;
  assert.equal(policy.decide(exhausted).kind, 'move');
  policy.acked(10);
  assert.equal(policy.decide(exhausted).kind, 'move');
});

test('a policy that blocks holds the message in its place', () => {
  const { policy, dead } = new Setting({ 'orders/*': { onExhausted: 'block', attempts: 2 } });
  assert.equal(policy.decide(failureOf({ attempt: 1 })).kind, 'retry');
  assert.deepEqual(policy.decide(failureOf({ attempt: 2 })), { kind: 'hold' });
  assert.equal(dead.numbers.blocked, 1);
});

test('the age of a message is bounded where the policy says so', () => {
  const { policy, dead } = new Setting({ 'o*/billing': { ttl: 5000 } });
  assert.equal(policy.ttlMs, 5000);
  assert.equal(dead.policyOf('other', 'orders').ttlMs, Number.POSITIVE_INFINITY);
  policy.expired(3);
  assert.equal(dead.numbers.expired, 3);
});

test('a move is counted when it is done, and a refused one gives its token back', async () => {
  const { policy, dead, cluster } = new Setting();
  cluster.answer = () => ({ code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true });
  const exhausted = failureOf({ attempt: 4 });
  for (let i = 0; i < 5; i++) {
    assert.equal(policy.decide(exhausted).kind, 'move');
    await assert.rejects(policy.move(exhausted, wireRecord()), { code: 'BACKEND_UNAVAILABLE' });
  }
  cluster.answer = () => ({ partition: 0, offset: 0 });
  assert.equal(policy.decide(exhausted).kind, 'move');
  await policy.move(exhausted, wireRecord());
  assert.deepEqual(dead.numbers.moved, { dead: 0, nack: 1, expiry: 0 });
  assert.equal(dead.numbers.moveFailures, 5);
});

test('a dead letter that was asked for takes its token when it is moved, and makes none', async () => {
  const { policy, dead, cluster } = new Setting();
  const asked = failureOf({ cause: 'dead' });
  const exhausted = failureOf({ attempt: 4 });
  const tokens = () => dead.budgets()[0]?.tokens;
  await policy.move(asked, wireRecord());
  assert.equal(tokens(), 1);
  assert.equal(policy.decide(exhausted).kind, 'move');
  assert.equal(tokens(), 0);
  cluster.answer = () => ({ code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true });
  for (let i = 0; i < 5; i++) {
    assert.equal(policy.decide(asked).kind, 'move');
    await assert.rejects(policy.move(asked, wireRecord()), { code: 'BACKEND_UNAVAILABLE' });
  }
  assert.equal(tokens(), 0);
  assert.equal(policy.decide(exhausted).kind, 'wait');
});

test('a message of a cluster that this node does not have stays', async () => {
  const { policy } = new Setting();
  await assert.rejects(policy.move(failureOf({ cluster: 1 }), wireRecord()), {
    code: 'BACKEND_UNAVAILABLE',
  });
});

test('a wait that is too long for its place is a delayed message, in shared mode', async () => {
  const setting = new Setting({ '*/*': { backoff: { table: [1_000, 3_600_000] } } });
  setting.delayLog = '__mqproxy.delay';
  const { policy, cluster, dead } = setting;
  const failure = failureOf({ attempt: 2 });
  assert.deepEqual(policy.decide(failure), { kind: 'putOff', delayMs: 3_600_000 });
  assert.equal(policy.decide(failureOf({ attempt: 1 })).kind, 'retry');
  const ordered = policy.decide({ ...failure, mode: 'key-ordered' });
  assert.deepEqual(ordered, { kind: 'retry', delayMs: 600_000 });
  assert.equal(policy.decide(failureOf({ attempt: 4 })).kind, 'move');
  cluster.existing = undefined;
  await policy.putOff(failure, wireRecord(), 3_602_000);
  assert.deepEqual(
    cluster.ensured.map(({ name, config }) => [name, config['retention.ms']]),
    [['orders.billing.retry', 'of orders, billing']],
  );
  assert.equal(cluster.records[0]?.topic, '__mqproxy.delay');
  assert.equal(dead.numbers.putOff, 1);
  setting.delayLog = undefined;
  assert.deepEqual(policy.decide(failure), { kind: 'retry', delayMs: 600_000 });
});

test('where a delay is refused for good the message stays in its place for a while', async () => {
  const setting = new Setting();
  setting.delayLog = '__mqproxy.delay';
  const { policy, cluster } = setting;
  const failure = failureOf({ askedDelayMs: 3_600_000 });
  const refuse = async (code: string) => {
    cluster.answer = () => ({ code, message: 'no', retriable: false });
    await assert.rejects(policy.putOff(failure, wireRecord(), 3_602_000), { code });
  };
  await refuse('BACKEND_UNAVAILABLE');
  assert.equal(policy.decide(failure).kind, 'putOff');
  await refuse('MESSAGE_TOO_LARGE');
  assert.deepEqual(policy.decide(failure), { kind: 'retry', delayMs: 600_000 });
  setting.nowMs = 60_000;
  assert.equal(policy.decide(failure).kind, 'putOff');
});

test("a group's own retry topic has the policy of its topic", () => {
  const { dead, policy } = new Setting({ 'orders/billing': { ttl: 5_000 } });
  assert.equal(dead.policyOf('billing', 'orders.billing.retry'), policy);
  assert.notEqual(dead.policyOf('other', 'orders.billing.retry'), policy);
});

/** Real policies with three attempts, for an engine. */
function settlerOn(double: DeadClusterDouble, log = createLogger('silent')) {
  return (clock: Clock) =>
    new DeadLetters({
      settings: { ...general, attempts: 3 },
      deadTopic: topicSettings,
      retryTopic: () => topicSettings,
      cluster: () => double,
      delayLog: () => undefined,
      clock,
      random: { bytes: (count) => new Uint8Array(count), float: () => 0 },
      log,
      nodeId: 1n,
    });
}

test('a move that fails is said once', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('orders', 1);
  cluster.append('orders', 0, { value: 'm0' });
  const double = new DeadClusterDouble();
  double.answer = () => ({ code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true });
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log, settler: settlerOn(double, log) });
  const client = await under.subscribe({ group: 'billing', topics: ['orders'] });
  under.nack(client.take(), { dead: true, reason: 'poison' });
  await under.pass(100);
  const said = lines.filter(({ msg }) => `${msg}`.includes('moved'));
  assert.deepEqual(
    said.map(({ topic, group, offset, code }) => [topic, group, offset, code]),
    [['orders', 'billing', 0, 'BACKEND_UNAVAILABLE']],
  );
  assert.equal(double.records.length, 1);
});

for (const mode of ['key-ordered', 'partition-ordered'] as const) {
  test(`a poison message reaches the dead letters after its attempts, and then its order goes on (${mode})`, async () => {
    const cluster = new MemoryCluster();
    cluster.addTopic('orders', 1);
    const keys = [1, 1, 2, 1];
    cluster.append('orders', 0, ...keys.map((key, i) => ({ value: `m${i}`, key })));
    const double = new DeadClusterDouble();
    const under = new EngineUnderTest(cluster, { settler: settlerOn(double) });
    const client = await under.subscribe({ group: 'billing', topics: ['orders'], mode });
    const tries: number[] = [];
    /** What was handled, and how many dead letters there were by then. */
    const handled: string[] = [];
    const handle = (): void => {
      for (const message of client.take()) {
        if (message.value === 'm0') {
          tries.push(message.attempt);
          under.nack([message], { reason: 'poison' });
        } else if (under.ack([message]).failed?.length === 0) {
          handled.push(`${message.value} after ${double.records.length}`);
        }
      }
    };
    for (let ms = 0; ms < 4_000; ms += 20) {
      handle();
      await under.pass(20);
    }
    assert.deepEqual(tries, [1, 2, 3]);
    const inOrder = ['m1 after 1', 'm2 after 1', 'm3 after 1'];
    // Another key waits for nothing.
    const byKey = ['m2 after 0', 'm1 after 1', 'm3 after 1'];
    assert.deepEqual(handled, mode === 'key-ordered' ? byKey : inOrder);
    const [letter, ...more] = double.records;
    assert.deepEqual([letter?.topic, more.length], ['orders.billing.dlq', 0]);
    assert.equal(Buffer.from(letter?.value ?? '').toString(), 'm0');
    await under.pass(200);
    assert.equal(cluster.commits.get('billing/orders/0')?.offset, 4);
  });
}
