import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import { fc } from '../../support/fast-check.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeNode, type Received, type Verdict } from './fake-node.ts';

/** What the peer does to the n-th writing that it sees; beyond the list all goes well. */
type Fault = 'none' | 'refuse' | 'unknown' | 'hold' | 'cut-before' | 'cut-after';

const faults = fc.array(
  fc.constantFrom<Fault>('none', 'none', 'refuse', 'unknown', 'hold', 'cut-before', 'cut-after'),
  { maxLength: 40 },
);

/** A node that stores each sequence once and, in ordered sessions, only behind the one before. */
class Model {
  readonly stored: string[] = [];
  private readonly seen = new Map<number, string>();
  private readonly faults: readonly Fault[];
  private readonly isOrdered: boolean;
  private step = 0;
  private expected = 1;

  constructor(faults: readonly Fault[], isOrdered: boolean) {
    this.faults = faults;
    this.isOrdered = isOrdered;
  }

  judge(received: Received): Verdict {
    const { session, sequence, value } = received;
    if (session.socket.destroyed) return 'hold';
    const fault = this.faults[this.step++] ?? 'none';
    if (fault === 'cut-before') {
      session.cut();
      return 'hold';
    }
    if (this.isOrdered && sequence > this.expected) {
      return { code: ErrorCode.OUT_OF_SEQUENCE, detail: this.expected };
    }
    if (fault === 'refuse' && !this.seen.has(sequence)) {
      return { code: ErrorCode.RETRY_LATER, detail: 0 };
    }
    this.store(sequence, value as string);
    if (fault === 'unknown') return { code: ErrorCode.UNKNOWN, detail: 0 };
    if (fault === 'cut-after') session.cut();
    // An answer that is held for ever: only a cut lets the client go on.
    if (fault === 'hold') setImmediate(() => session.cut());
    return fault === 'hold' || fault === 'cut-after' ? 'hold' : 'ok';
  }

  private store(sequence: number, value: string): void {
    const known = this.seen.get(sequence);
    assert.ok(known === undefined || known === value, 'one sequence means one message');
    if (known !== undefined) return;
    this.seen.set(sequence, value);
    this.stored.push(value);
    this.expected = sequence + 1;
  }
}

async function run(plan: readonly Fault[], count: number, isOrdered: boolean): Promise<void> {
  const model = new Model(plan, isOrdered);
  const node = await FakeNode.start({ produce: (received) => model.judge(received) });
  const client = await MqpClient.connect(
    { servers: [node.address], ordered: isOrdered, inFlightMessagesMax: 8 },
    { clock: new FakeClock(), random: fixedRandom(0) },
  );
  try {
    const values = Array.from({ length: count }, (_, i) => String(i));
    const results: Promise<unknown>[] = [];
    for (const value of values) {
      results.push(client.produce('orders', { value }));
      if (Number(value) % 7 === 6) await new Promise(setImmediate);
    }
    await Promise.all(results);
    const stored = isOrdered ? model.stored : model.stored.toSorted((a, b) => +a - +b);
    assert.deepEqual(stored, values);
    assert.equal(client.outstandingBytes, 0);
    assert.equal(client.outstandingMessages, 0);
  } finally {
    await client.close({ timeoutMs: 0 });
    await node.close();
  }
}

for (const isOrdered of [true, false]) {
  const mode = isOrdered ? 'an ordered' : 'an unordered';
  it(`each message of ${mode} client is stored once whatever is refused or cut`, async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(performance.now() * 1000));
    console.log(`seed=${seed}`);
    const property = fc.asyncProperty(faults, fc.integer({ min: 1, max: 40 }), (plan, count) =>
      run(plan, count, isOrdered),
    );
    await fc.assert(property, { seed, numRuns: 150 });
  });
}
