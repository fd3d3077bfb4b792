import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { Opcode } from '../../../protocol/src/generated.ts';
import { encodeStatusAnswer } from '../../../protocol/src/status.ts';
import { codeOf, pair } from './conformance.ts';
import type { FakeScript, FakeSession } from './fake-node.ts';

/** Takes STATUS, which is answered when the test says so. */
async function start(t: TestContext, script: FakeScript = {}) {
  const answers: (() => void)[] = [];
  const { node, ...rest } = await pair(t, {
    other: (frame, session) => {
      answers.push(() => {
        encodeStatusAnswer(session.writer, frame.correlationId, { well: 1 });
        session.flush();
      });
      setImmediate(() => node.notify());
      return true;
    },
    ...script,
  });
  return { ...rest, node, answers };
}

describe('an engine', () => {
  it('waits for its requests before it leaves a node that is going away', async (t) => {
    const { node, client, answers } = await start(t);
    const status = client.status();
    await node.until(() => answers.length === 1);
    node.last.goaway(60_000);
    await once(client, 'state');
    await settled();
    assert.equal(node.sessions.length, 1);
    answers[0]?.();
    assert.deepEqual(await status, { well: 1 });
    await node.until(() => node.sessions.length === 2);
    assert.equal(answers.length, 1, 'it was not asked again');
  });

  it('leaves a node that is going away though a poll waits there, and one that says nothing in time', async (t) => {
    const { node, client, clock, answers } = await start(t, { tail: () => node.notify() });
    const reading = codeOf(client.tail('orders', { partition: 0 }).next());
    await node.until(() => isPolled(node.sessions[0]));
    node.last.goaway(60_000);
    await node.until(() => isPolled(node.sessions[1]));
    const status = client.status();
    await node.until(() => answers.length === 1);
    node.last.goaway(5_000);
    await once(client, 'state');
    clock.advance(5_000);
    await node.until(() => answers.length === 2);
    answers[1]?.();
    assert.deepEqual(await status, { well: 1 });
    await client.close();
    assert.equal(await reading, 'CLOSED');
  });

  it('waits for its requests when it is closed', async (t) => {
    const { node, client, answers } = await start(t);
    const status = client.status();
    await node.until(() => answers.length === 1);
    const closed = client.close();
    answers[0]?.();
    assert.deepEqual(await status, { well: 1 });
    await closed;
  });

  it('waits for nothing that is asked after it was closed', async (t) => {
    const { node, client, answers } = await start(t);
    const before = client.status();
    await node.until(() => answers.length === 1);
    const closed = client.close();
    const later = codeOf(client.status());
    await node.until(() => answers.length === 2);
    answers[0]?.();
    assert.deepEqual(await before, { well: 1 });
    await closed;
    assert.equal(await later, 'CLOSED');
  });

  it('is closed for nobody before it has drained, or somebody waits no longer', async (t) => {
    const { node, client, clock } = await start(t, { produce: () => 'hold' });
    const sent = codeOf(client.produce('orders', { value: 'a' }));
    await node.until(() => node.received.length === 1);
    const closed: string[] = [];
    const first = client.close({ timeoutMs: 5000 }).then(() => closed.push('first'));
    const second = client.close({ timeoutMs: 1000 }).then(() => closed.push('second'));
    await settled();
    assert.deepEqual(closed, []);
    clock.advance(1000);
    assert.equal(await sent, 'UNKNOWN');
    await Promise.all([first, second]);
    assert.equal(client.state, 'closed');
  });
});

function isPolled(session: FakeSession | undefined): boolean {
  return session?.frames.some(({ opcode }) => opcode === Opcode.TAIL) === true;
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}
