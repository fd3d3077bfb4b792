import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { ClientOptions } from '../../../sdk/ts/src/types.ts';
import { repoRoot } from '../../support/repo.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeNode, type FakeScript } from './fake-node.ts';

const spec = readFileSync(join(repoRoot, 'protocol', 'SPEC.md'), 'utf8');
const held = join(repoRoot, 'sdk', 'ts', 'test', 'conformance', 'held.json');

/** What SPEC.md demands of a client, by id. */
export const demands: ReadonlyMap<string, string> = new Map(
  [...spec.matchAll(/^\| (C-\d+\.\d+) \| (.+?) \|/gm)].map(([, id, text]) => [
    id as string,
    text as string,
  ]),
);

/** The ids that this client states to hold. */
export const heldIds = JSON.parse(readFileSync(held, 'utf8')) as readonly string[];

/** Parts of a test: a client and the scripted node that it talks to. */
export interface Parts {
  readonly node: FakeNode;
  readonly client: MqpClient;
  readonly clock: FakeClock;
}

/** A test of one demand; its title is the demand's text. */
export function conformance(id: string, run: (t: TestContext) => Promise<void>): void {
  test(`${id}: a client ${demands.get(id)}`, async (t) => {
    assert.ok(demands.has(id), 'SPEC.md has this id');
    assert.ok(heldIds.includes(id), 'held.json states it');
    await run(t);
  });
}

/** A client that is connected to a scripted node; both end with the test. */
export async function pair(
  t: TestContext,
  script: FakeScript = {},
  options: Partial<ClientOptions> = {},
): Promise<Parts> {
  const node = await FakeNode.start(script);
  t.after(() => node.close());
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [node.address], producerId: 0xffn, ...options },
    { clock, random: fixedRandom(0) },
  );
  t.after(() => client.close({ timeoutMs: 0 }));
  return { node, client, clock };
}

/** The code of what a promise was rejected with; undefined when it was not. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}
