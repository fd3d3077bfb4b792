// Handlers that work for 5 ms, one at a time for each consumer: fed by a node, over one connection
// (`shared`) or one for each consumer (`apart`), or from an array in memory (`memory`), which is
// all that the same handlers can do in this process.
import { setTimeout as work } from 'node:timers/promises';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { Consumer } from '../../sdk/ts/src/consumer.ts';
import { ClientRun, clientFlags } from './client-run.ts';

const workMs = 5;
const arrayMessages = 10_000;

const flags = clientFlags();

function handlerOf(run: ClientRun): (message: unknown) => Promise<void> {
  return async () => {
    const began = performance.now();
    await work(workMs);
    run.answered(began);
  };
}

async function fromMemory(): Promise<void> {
  const run = new ClientRun(flags);
  const handle = handlerOf(run);
  const messages = Array.from({ length: arrayMessages }, (_, offset) => ({ offset }));
  let at = 0;
  const consumer = async (): Promise<void> => {
    while (!run.over) await handle(messages[at++ % messages.length]);
  };
  await Promise.all(Array.from({ length: flags.consumers }, consumer));
  run.print();
}

async function fromNode(connections: number): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: connections }, () => MqpClient.connect({ servers: [flags.brokers] })),
  );
  const each = flags.consumers / connections;
  const group = { group: `g-${flags.topic}`, topics: [flags.topic], mode: 'shared' } as const;
  const consumers: Consumer[] = await Promise.all(
    clients.flatMap((client) => Array.from({ length: each }, () => client.subscribe(group))),
  );
  // A group takes its time to be given its partitions: that is not the handlers' doing.
  while (consumers.some(({ state }) => state !== 'active')) await work(20);
  const run = new ClientRun(flags);
  const handle = handlerOf(run);
  const running = consumers.map((consumer) => {
    consumer.on('lost', () => {
      run.failed++;
    });
    return consumer.run(handle, { concurrency: 1 });
  });
  while (!run.over) await work(20);
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(running);
  run.print();
}

if (flags.mode === 'memory') await fromMemory();
else await fromNode(flags.mode === 'apart' ? flags.consumers : 1);
