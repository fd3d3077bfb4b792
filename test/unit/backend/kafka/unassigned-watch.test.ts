import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JoinOptions, TopicPartition } from '../../../../src/backend/consumer-port.ts';
import type { KafkaGroups } from '../../../../src/backend/kafka/kafka-groups.ts';
import { KafkaMember } from '../../../../src/backend/kafka/kafka-member.ts';
import { coded } from '../../../../src/base/errors.ts';
import { createLogger } from '../../../../src/base/log.ts';
import type { KafkaGroup, KafkaGroupOptions } from '../../../../src/native/kafka-group.ts';
import { FakeClock } from '../embedded/doubles.ts';

type Assignment = Awaited<ReturnType<KafkaGroups['assignment']>>;

const t0 = { topic: 't', partition: 0 };

function group(state: 'stable' | 'rebalancing', ...held: TopicPartition[][]): Assignment {
  const members = held.map((partitions, i) => {
    return { memberId: `m${i}`, clientId: `node-${i}`, host: '', partitions };
  });
  return { state, members };
}

/** Node 1 in a group of two topics; `t` has partitions, `u` is not there. */
class Room {
  readonly clock = new FakeClock();
  /** What the native member was told to have, by call. */
  readonly subscribed: (readonly string[])[] = [];
  readonly warned: unknown[] = [];
  /** Questions about who holds what. */
  asked = 0;
  assignment: () => Promise<Assignment> = async () => group('stable', [], []);
  leaders: Record<string, readonly number[]> = { t: [1] };
  revoked: (() => void) | undefined;
  readonly member: KafkaMember;
  native!: KafkaGroupOptions;

  constructor(topics: readonly string[] = ['u', 't']) {
    const logger = createLogger('silent');
    logger.warn = (...words: unknown[]) => void this.warned.push(words[0]);
    const join = {
      group: 'g',
      topics,
      clientId: 'node-1',
      onAssigned: () => undefined,
      onRevoking: (_: unknown, done: () => void) => {
        this.revoked = done;
      },
      onLost: () => undefined,
    } as unknown as JoinOptions;
    this.member = new KafkaMember({
      join,
      config: {},
      open: (options) => {
        this.native = options;
        const native = {
          setTopics: (names: readonly string[]) => void this.subscribed.push(names),
          revoked: () => undefined,
          close: async () => undefined,
        };
        return native as unknown as KafkaGroup;
      },
      askAside: async () => [],
      watch: {
        groups: {
          assignment: (name) => {
            assert.equal(name, 'g');
            this.asked += 1;
            return this.assignment();
          },
        },
        topics: { leaders: async (name) => this.leaders[name] },
        clock: this.clock,
        logger,
      },
      onClosed: () => undefined,
    });
  }

  /** Lets time pass, and whatever was asked be answered. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a member joins again when nobody in a group at rest has a partition of its topics', async () => {
  const room = new Room();
  room.native.onAssigned([]);
  await room.pass(9_999);
  assert.equal(room.asked, 0, 'it may still be given some');
  await room.pass(1);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
  assert.deepEqual(room.warned, [{ group: 'g', topics: ['u', 't'] }]);
  room.native.onAssigned([t0]);
  await room.pass(600_000);
  assert.equal(room.asked, 1, 'it has one');
  assert.equal(room.clock.timers, 0);
});

test('partitions of other topics count for nothing', async () => {
  const room = new Room();
  room.assignment = async () => group('stable', [], [{ topic: 'other', partition: 0 }]);
  await room.pass(10_000);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
});

test('a surplus member is left alone, and asks less and less often', async () => {
  const room = new Room();
  room.assignment = async () => group('stable', [t0], []);
  const askedAtMs: number[] = [];
  for (let seconds = 1; seconds <= 200; seconds++) {
    const before = room.asked;
    await room.pass(1_000);
    if (room.asked > before) askedAtMs.push(seconds);
    room.native.onAssigned([]);
  }
  assert.deepEqual(askedAtMs, [10, 30, 70, 130, 190]);
  assert.deepEqual(room.subscribed, []);
});

test('a group that is not at rest, or unknown, is waited for', async () => {
  const room = new Room();
  room.assignment = async () => group('rebalancing', []);
  await room.pass(10_000);
  room.assignment = async () => undefined;
  await room.pass(20_000);
  assert.equal(room.asked, 2);
  assert.deepEqual(room.subscribed, []);
  room.assignment = async () => group('stable', []);
  await room.pass(40_000);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
});

test('a question that fails is asked again', async () => {
  const room = new Room();
  room.assignment = () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'away'));
  await room.pass(10_000);
  assert.deepEqual(room.subscribed, []);
  room.assignment = async () => group('stable', []);
  await room.pass(20_000);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
});

test('what is not there, or has no leader, is nothing to join for', async () => {
  const room = new Room();
  room.leaders = {};
  await room.pass(10_000);
  room.leaders = { t: [] };
  await room.pass(20_000);
  room.leaders = { t: [-1, -1] };
  await room.pass(40_000);
  assert.equal(room.asked, 3);
  assert.deepEqual(room.subscribed, []);
  room.leaders = { t: [-1, 1] };
  await room.pass(60_000);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
});

/** A question that is answered when the test says so. */
function held(room: Room): () => void {
  let answer: (found: Assignment) => void = () => assert.fail('nothing was asked');
  room.assignment = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  return () => answer(group('stable', []));
}

test('an answer that comes late counts for nothing', async () => {
  const changes: ((room: Room) => void)[] = [
    ({ native }) => native.onAssigned([t0]),
    ({ member }) => void member.close(),
    ({ member }) => member.setTopics(['v']),
  ];
  for (const change of changes) {
    const room = new Room();
    const answer = held(room);
    await room.pass(10_000);
    change(room);
    room.subscribed.length = 0;
    answer();
    await room.pass(0);
    assert.deepEqual(room.subscribed, []);
  }
});

test('what is being given up is held until it is gone', async () => {
  const room = new Room();
  room.native.onAssigned([t0]);
  room.native.onRevoking([t0], 1);
  await room.pass(60_000);
  assert.equal(room.asked, 0);
  room.revoked?.();
  await room.pass(9_999);
  assert.equal(room.asked, 0);
  await room.pass(1);
  assert.equal(room.asked, 1);
});

test('a member that lost its partitions is watched again', async () => {
  const room = new Room();
  room.native.onAssigned([t0, { topic: 't', partition: 1 }]);
  room.native.onLost([t0]);
  await room.pass(60_000);
  assert.equal(room.asked, 0, 'it has the other one');
  room.native.onLost([{ topic: 't', partition: 1 }]);
  await room.pass(10_000);
  assert.deepEqual(room.subscribed, [[], ['u', 't']]);
});

test('nothing is asked without topics, or after the end', async () => {
  const room = new Room([]);
  await room.pass(600_000);
  assert.equal(room.asked, 0);
  room.member.setTopics(['t']);
  await room.pass(10_000);
  assert.deepEqual(room.subscribed, [['t'], [], ['t']]);
  await room.member.close();
  room.native.onLost([t0]);
  assert.equal(room.clock.timers, 0);
});
