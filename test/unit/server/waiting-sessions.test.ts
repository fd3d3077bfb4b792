import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Waiter, WaitingSessions } from '../../../src/server/waiting-sessions.ts';
import { fc } from '../../support/fast-check.ts';
import { seed } from '../../support/seeded.ts';

const RING_BYTES = 10;
const NODE_BYTES = 25;

class FakeLane {
  /** In its ring. */
  bytes = 0;
}

/** As much of the server as decides who waits, and who is told. */
class Hub {
  readonly waiting = new WaitingSessions<FakeLane>();
  readonly lanes: readonly FakeLane[];
  readonly sessions: readonly FakeSession[];
  inFlight = 0;

  constructor(lanes: number, sessions: number) {
    this.lanes = Array.from({ length: lanes }, () => new FakeLane());
    this.sessions = Array.from({ length: sessions }, (_, i) => {
      return new FakeSession(this, this.lanes[i % lanes] as FakeLane);
    });
  }

  readonly isFull = (): boolean => this.inFlight >= NODE_BYTES;

  /** The lane takes what is in its ring. */
  take(lane: FakeLane): void {
    lane.bytes = 0;
    this.waiting.wakeLane(lane);
  }

  /** So many bytes are answered. */
  answer(bytes: number): void {
    this.inFlight -= Math.min(bytes, this.inFlight);
    this.waiting.wakeNode(this.isFull);
  }
}

class FakeSession implements Waiter<FakeLane> {
  readonly lane: FakeLane;
  /** Bytes of the runs that were read and not taken. */
  readonly runs: number[] = [];
  isWaiting = false;
  isClosed = false;
  tries = 0;
  private readonly hub: Hub;

  constructor(hub: Hub, lane: FakeLane) {
    this.hub = hub;
    this.lane = lane;
  }

  receive(...runs: readonly number[]): void {
    this.runs.push(...runs);
    if (!this.isWaiting) this.release();
  }

  release(): void {
    assert.ok(!this.isClosed, 'one that is closed is not told');
    const { hub, lane, runs } = this;
    this.isWaiting = false;
    this.tries++;
    for (let run = runs[0]; run !== undefined; run = runs[0]) {
      if (hub.isFull() || lane.bytes + run > RING_BYTES) {
        this.isWaiting = true;
        hub.waiting.add(this, hub.isFull() ? 'node' : 'lane');
        return;
      }
      lane.bytes += run;
      hub.inFlight += run;
      runs.shift();
    }
  }

  close(): void {
    this.isClosed = true;
    this.runs.length = 0;
    this.hub.waiting.delete(this);
  }
}

test('answers wake nobody who waits for a ring, and a ring that fills again wakes one', () => {
  const hub = new Hub(1, 100);
  const [lane] = hub.lanes;
  assert(lane);
  for (const session of hub.sessions) session.receive(RING_BYTES, RING_BYTES);
  const tries = (): number => hub.sessions.reduce((sum, session) => sum + session.tries, 0);
  const before = tries();
  for (let i = 0; i < 1_000; i++) hub.answer(0);
  assert.equal(tries(), before);
  // The bell rings for answers too: the ring is as full as it was.
  for (let i = 0; i < 1_000; i++) hub.waiting.wakeLane(lane);
  assert.equal(tries(), before + 1_000);
});

test('one that finds no room in a ring lets the others go first', () => {
  const hub = new Hub(1, 3);
  const [lane] = hub.lanes;
  assert(lane);
  const [large, first, second] = hub.sessions;
  lane.bytes = RING_BYTES;
  large?.receive(RING_BYTES);
  first?.receive(1);
  second?.receive(1);
  lane.bytes = RING_BYTES - 2;
  hub.waiting.wakeLane(lane);
  hub.waiting.wakeLane(lane);
  assert.deepEqual([large?.isWaiting, first?.isWaiting, second?.isWaiting], [true, false, false]);
});

const step = fc.oneof(
  fc.record({
    kind: fc.constant('receive' as const),
    who: fc.nat(6),
    runs: fc.array(fc.integer({ min: 1, max: RING_BYTES }), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('take' as const), who: fc.nat(6), runs: fc.constant([]) }),
  fc.record({ kind: fc.constant('close' as const), who: fc.nat(6), runs: fc.constant([]) }),
  fc.record({ kind: fc.constant('answer' as const), who: fc.nat(20), runs: fc.constant([]) }),
);

test('whatever fills and empties, nobody waits for room that is there', () => {
  console.log(`seed=${seed}`);
  const property = fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const hub = new Hub(3, 7);
    for (const { kind, who, runs } of steps) {
      const session = hub.sessions[who % hub.sessions.length];
      assert(session);
      if (kind === 'receive' && !session.isClosed) session.receive(...runs);
      if (kind === 'take') hub.take(session.lane);
      if (kind === 'close' && !session.isClosed) session.close();
      if (kind === 'answer') hub.answer(who);
    }
    for (let round = 0; hub.sessions.some(({ runs }) => runs.length > 0); round++) {
      assert.ok(round < 200, 'some wait for ever');
      for (const lane of hub.lanes) hub.take(lane);
      hub.answer(NODE_BYTES);
    }
  });
  fc.assert(property, { seed, numRuns: 500 });
});
