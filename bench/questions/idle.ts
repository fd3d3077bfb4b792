import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cpuSecondsOf } from '../../src/cli/load/machine-load.ts';
import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import type { Question } from '../question.ts';
import { bareResult } from '../result.ts';

const subscriptions = 10_000;
const groups = 100;
/** Below the most of a connection. */
const perConnection = 250;
/** After the last subscription: until groups have settled. */
const settleMs = 5_000;

/** Subscribes all, group by group in turn; the clients, to be closed. */
async function subscribeAll(node: BenchNode): Promise<MqpClient[]> {
  const clients: MqpClient[] = [];
  for (let first = 0; first < subscriptions; first += perConnection) {
    const client = await MqpClient.connect({ servers: [node.address], timeoutMs: 60_000 });
    clients.push(client);
    const own = Array.from({ length: perConnection }, (_, i) => first + i);
    await Promise.all(
      own.map((i) => client.subscribe({ group: `idle-${i % groups}`, topics: ['idle'] })),
    );
  }
  return clients;
}

/** What nobody sends anything to should cost next to nothing. */
export const idleSubscriptions: Question = {
  name: 'idle-subscriptions',
  title: `${subscriptions} idle subscriptions in ${groups} groups: share of a core that the node uses`,
  pairsMax: 1,
  sides: (['embedded', 'kafka'] as const).map((backend) => ({
    name: backend,
    slow: backend === 'kafka',
    run: (rig, span) =>
      withNode(rig, { backend }, async (node) => {
        const clients = await subscribeAll(node);
        await pause(settleMs);
        const meter = new Meter({ node: node.pid });
        const began = performance.now();
        const before = cpuSecondsOf(node.pid) ?? Number.NaN;
        await pause(span.seconds * 1000);
        const used = (cpuSecondsOf(node.pid) ?? Number.NaN) - before;
        const corePercent = (100_000 * used) / (performance.now() - began);
        const result = bareResult({ corePercent }, meter.stealPercent);
        await Promise.all(clients.map((client) => client.close({ timeoutMs: 0 }).catch(() => {})));
        return result;
      }),
  })),
  figures: [
    { measure: 'corePercent', of: 'embedded', atMost: 5 },
    { measure: 'corePercent', of: 'kafka', atMost: 5 },
  ],
};
