import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { CANCEL_DELAYED } from '../../../protocol/src/delayed.ts';
import { encodeFailure } from '../../../protocol/src/error-body.ts';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { ownerWords } from '../../../protocol/src/owner-words.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import { MqpError } from '../../../sdk/ts/src/errors.ts';
import { fc } from '../../support/fast-check.ts';
import { until } from '../../support/wait.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeGroup } from './fake-group.ts';
import { FakeNode, type FakeScript } from './fake-node.ts';

/** What a node says to CANCEL_DELAYED: done, the node that it names, nobody named, or an error. */
type Word = 'done' | 'silence' | { readonly owner: string | undefined } | { readonly code: number };

/** A node that says the same to every cancel, and counts them. */
class Owner {
  readonly node: FakeNode;
  word: Word = { owner: undefined };
  asked = 0;
  /** Answers what was met with silence. */
  answer: (word?: Word) => void = () => {};

  static async start(nodeId: string, more: FakeScript = {}): Promise<Owner> {
    const script: FakeScript = { nodeId, ...more };
    const owner = new Owner(await FakeNode.start(script));
    script.other = (frame, session) => {
      if (frame.opcode !== Opcode.CANCEL_DELAYED) return more.other?.(frame, session) === true;
      owner.asked++;
      const { word } = owner;
      const { correlationId } = frame;
      const say = (said: Word): void => {
        if (said === 'done') {
          CANCEL_DELAYED.encodeAnswer(session.writer, correlationId, { outcome: 'cancelled' });
        } else if (said === 'silence') {
          owner.answer = (late = 'done') => {
            say(late);
            session.flush();
          };
        } else {
          const error =
            'code' in said
              ? { code: said.code, message: '' }
              : { code: ErrorCode.NOT_OWNER, message: ownerWords(said.owner) };
          encodeFailure(session.writer, frame, error);
        }
      };
      say(word);
      owner.node.notify();
      return true;
    };
    return owner;
  }

  constructor(node: FakeNode) {
    this.node = node;
  }
}

async function owners(t: TestContext, ...nodeIds: string[]): Promise<Owner[]> {
  const all = await Promise.all(nodeIds.map((nodeId) => Owner.start(nodeId)));
  t.after(() => Promise.all(all.map(({ node }) => node.close())));
  return all;
}

async function connect(t: TestContext, servers: readonly string[], timeoutMs = 60_000) {
  const clock = new FakeClock();
  const environment = { clock, random: fixedRandom(0) };
  const client = await MqpClient.connect({ servers, timeoutMs }, environment);
  t.after(() => client.close({ timeoutMs: 0 }));
  return { client, clock };
}

/** Between two tries to settle, in ms. */
const RETRY_MS = 200;

const addressOf = ({ node }: Owner) => node.address;
const cancel = (client: MqpClient) => client.delayed.cancel({ id: `d1-${'0'.repeat(48)}` });

async function refusalOf(work: Promise<unknown>): Promise<MqpError> {
  const error = await work.then(
    () => assert.fail('it was not refused'),
    (cause: unknown) => cause,
  );
  assert(error instanceof MqpError, String(error));
  return error;
}

describe('a client of several nodes', () => {
  it('asks the node that is named, and goes straight to it from then on', async (t) => {
    const all = await owners(t, 'n-1', 'n-2', 'n-3');
    const [one, two, three] = all as [Owner, Owner, Owner];
    one.word = { owner: 'n-3' };
    three.word = 'done';
    const { client } = await connect(t, all.map(addressOf));
    assert.equal(await cancel(client), 'cancelled');
    assert.equal(await cancel(client), 'cancelled');
    assert.deepEqual([one.asked, two.asked, three.asked], [2, 0, 2]);
    assert.deepEqual([two.node.hellos.length, three.node.hellos.length], [1, 1]);
    assert.equal(three.node.hellos[0]?.producerId, 0n, 'nothing is produced there');
    assert.equal(client.node?.nodeId, 'n-1', 'it stays with its node');
  });

  it('asks each of the others when nobody is named', async (t) => {
    const all = await owners(t, 'n-1', 'n-2', 'n-3');
    (all[2] as Owner).word = 'done';
    const { client } = await connect(t, all.map(addressOf));
    assert.equal(await cancel(client), 'cancelled');
    assert.deepEqual(
      all.map(({ asked }) => asked),
      [1, 1, 1],
    );
  });

  it('says who the owner is when no address leads to it, and asks nobody twice', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    (all[0] as Owner).word = { owner: 'n-9' };
    // Both addresses twice: as if a node had two names.
    const twice = [...all, ...all].map(addressOf);
    const { client } = await connect(t, twice);
    const error = await refusalOf(cancel(client));
    assert.deepEqual([error.code, error.ownerNodeId], ['NOT_OWNER', 'n-9']);
    assert.equal(error.message, `${ownerWords('n-9')}; ${ownerWords(undefined)}`);
    assert.equal(error.cause, undefined);
    assert.deepEqual(
      all.map(({ asked }) => asked),
      [1, 1],
    );
  });

  it('says which address did not answer, where the owner may be', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    const [one, two] = all as [Owner, Owner];
    one.word = { owner: 'n-2' };
    const gone = addressOf(two);
    await two.node.close();
    const { client } = await connect(t, [addressOf(one), gone]);
    const error = await refusalOf(cancel(client));
    assert.deepEqual([error.code, error.ownerNodeId], ['NOT_OWNER', 'n-2']);
    assert.match(error.message, new RegExp(`^${ownerWords('n-2')}; no connection to ${gone}`));
    assert.equal((error.cause as MqpError).code, 'CONNECT_FAILED');
  });

  it('is refused at once with one address', async (t) => {
    const all = await owners(t, 'n-1');
    (all[0] as Owner).word = { owner: 'n-2' };
    const { client } = await connect(t, all.map(addressOf));
    const error = await refusalOf(cancel(client));
    assert.deepEqual([error.code, error.ownerNodeId], ['NOT_OWNER', 'n-2']);
    assert.equal(error.message, ownerWords('n-2'));
    assert.equal(all[0]?.node.sessions.length, 1);
  });

  it('waits for an owner that is not ready, and not beyond the deadline', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    const [one, two] = all as [Owner, Owner];
    one.word = { owner: 'n-2' };
    two.word = { code: ErrorCode.RETRY_LATER };
    const { client, clock } = await connect(t, all.map(addressOf), 5000);
    const later = cancel(client);
    await two.node.until(() => two.asked === 3);
    two.word = 'done';
    assert.equal(await later, 'cancelled');
    two.word = 'silence';
    const silent = cancel(client);
    const before = two.asked;
    await two.node.until(() => two.asked > before);
    clock.advance(5000);
    assert.equal((await refusalOf(silent)).code, 'TIMED_OUT');
  });

  it('connects again to a node that went away, and to none once it is closed', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    const [one, two] = all as [Owner, Owner];
    one.word = { owner: 'n-2' };
    two.word = 'done';
    const { client } = await connect(t, all.map(addressOf));
    await cancel(client);
    const { socket } = two.node.last;
    two.node.last.goaway(1000);
    await once(socket, 'close');
    assert.equal(await cancel(client), 'cancelled');
    assert.equal(two.node.hellos.length, 2);
    const ended = once(two.node.last.socket, 'close');
    await client.close();
    await ended;
    assert.equal((await refusalOf(cancel(client))).code, 'CLOSED');
    assert.equal(two.node.hellos.length, 2);
  });

  it('waits when it is closed for what it has asked, and for what the owner is asked then', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    const [one, two] = all as [Owner, Owner];
    one.word = 'silence';
    two.word = 'silence';
    const { client } = await connect(t, all.map(addressOf));
    const asked = cancel(client);
    await one.node.until(() => one.asked === 1);
    const closed = client.close();
    one.answer({ owner: 'n-2' });
    const met = two.node.until(() => two.asked === 1);
    await Promise.race([met, closed]);
    two.answer();
    assert.equal(await asked, 'cancelled');
    await closed;
  });

  it('waits for what it has asked of a node that is going away, and asks nothing more there', async (t) => {
    const all = await owners(t, 'n-1', 'n-2');
    const [one, two] = all as [Owner, Owner];
    one.word = { owner: 'n-2' };
    two.word = 'silence';
    const { client } = await connect(t, all.map(addressOf));
    const asked = cancel(client);
    await two.node.until(() => two.asked === 1);
    two.node.last.goaway(60_000);
    two.word = 'done';
    let cancels = 1;
    for (; two.node.sessions.length === 1; cancels++) await cancel(client);
    two.answer();
    assert.equal(await asked, 'cancelled');
    assert.equal(two.asked, cancels, 'it was not asked again');
    assert.equal(two.node.sessions.length, 2);
  });

  it('finds the owner wherever it is, and asks each node once at most, over any lists', async (t) => {
    const ids = ['n-0', 'n-1', 'n-2', 'n-3'];
    const all = await owners(t, ...ids);
    const away = await FakeNode.start();
    const dead = away.address;
    await away.close();
    const place = fc.integer({ min: 0, max: ids.length });
    const lists = fc.record({
      first: fc.integer({ min: 0, max: ids.length - 1 }),
      others: fc.array(place, { maxLength: 6 }),
      owner: fc.integer({ min: 0, max: ids.length - 1 }),
      isNamed: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(lists, async ({ first, others, owner, isNamed }) => {
        for (const [i, one] of all.entries()) {
          one.asked = 0;
          one.word = i === owner ? 'done' : { owner: isNamed ? ids[owner] : undefined };
        }
        const places = [first, ...others];
        const servers = places.map((i) => all[i]?.node.address ?? dead);
        const client = await MqpClient.connect({ servers });
        try {
          const ended = await cancel(client).catch((error: MqpError) => error.code);
          // The naive twin: it is done where the owner is among those that answer.
          assert.equal(ended, places.includes(owner) ? 'cancelled' : 'NOT_OWNER');
          const asked = all.map((one) => one.asked);
          assert(Math.max(...asked) <= 1, `asked ${asked}`);
          const isKnownPlace = isNamed && places.includes(owner);
          const useless = asked.filter((times, i) => times > 0 && i !== owner && i !== first);
          if (isKnownPlace) assert.deepEqual(useless, [], 'who is not named is not asked');
        } finally {
          await client.close();
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a consumer of several nodes', () => {
  /** Two nodes of a group, and messages that were delivered by the first. */
  async function leases(t: TestContext) {
    const groups = [0, 1].map((at) => new FakeGroup(() => nodes[at] as FakeNode));
    const nodes: FakeNode[] = [];
    for (const [i, group] of groups.entries()) {
      nodes.push(await FakeNode.start({ nodeId: `n-${i}`, ...group.script }));
    }
    t.after(() => Promise.all(nodes.map((node) => node.close())));
    const [own, other] = groups as [FakeGroup, FakeGroup];
    const { client, clock } = await connect(
      t,
      nodes.map(({ address }) => address),
    );
    const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
    const lost: string[] = [];
    consumer.on('lost', (_, error) => lost.push((error as MqpError).code));
    own.deliver(['a', 'b', 'c'], { token: 7 });
    const iterator = consumer[Symbol.asyncIterator]();
    const messages = [];
    for (let i = 0; i < 3; i++) messages.push((await iterator.next()).value);
    const code = ErrorCode.NOT_OWNER;
    own.settle = ({ entries }) =>
      entries.flatMap(({ indexes }, entry) =>
        indexes.map((index) => ({ entry, index, code, owner: 'n-1' })),
      );
    return { own, other, consumer, lost, messages, nodes, clock };
  }

  it('settles at the node that has the lease', async (t) => {
    const { own, other, consumer, lost, messages } = await leases(t);
    const [a, b, c] = messages;
    await Promise.all([a?.ack({ wait: 'committed' }), b?.ack({ wait: 'committed' })]);
    await c?.nack({ reason: 'no', delayMs: 5 });
    assert.deepEqual(
      other.settles.map(({ opcode, committed, reason, delayMs, entries }) => ({
        said: [opcode, committed, reason, delayMs],
        entries,
      })),
      [
        { said: [Opcode.ACK, true, '', undefined], entries: [{ token: 7, indexes: [0, 1] }] },
        { said: [Opcode.NACK, false, 'no', 5], entries: [{ token: 7, indexes: [2] }] },
      ],
    );
    assert.equal(own.settles.length, 2);
    assert.deepEqual([lost, consumer.heldMessages], [[], 0]);
  });

  it('loses only what the owner refuses', async (t) => {
    const { other, lost, messages } = await leases(t);
    other.settle = () => [{ entry: 0, index: 1, code: ErrorCode.LEASE_LOST }];
    const ends = await Promise.allSettled(messages.map((message) => message?.ack()));
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(lost, ['LEASE_LOST']);
  });

  it('asks again when the owner was cut off before it answered', async (t) => {
    const { other, lost, messages, nodes, clock } = await leases(t);
    other.settle = () => 'hold';
    const acked = messages[0]?.ack();
    await nodes[1]?.until(() => other.settles.length === 1);
    other.settle = undefined;
    nodes[1]?.last.cut();
    // It is waited a moment before the next try.
    await until(() => clock.delaysMs.includes(RETRY_MS), { what: 'the wait' });
    clock.advance(RETRY_MS);
    await acked;
    assert.deepEqual([other.settles.length, lost], [2, []]);
  });

  it('loses what no node of its own has, by the name of who has it', async (t) => {
    const { other, lost, messages } = await leases(t);
    other.settle = () => [{ entry: 0, index: 0, code: ErrorCode.NOT_OWNER, owner: 'n-9' }];
    const error = await refusalOf(messages[0]?.ack() ?? Promise.resolve());
    assert.deepEqual([error.code, error.ownerNodeId], ['NOT_OWNER', 'n-9']);
    assert.deepEqual(lost, ['NOT_OWNER']);
  });
});
