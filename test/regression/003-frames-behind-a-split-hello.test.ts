import { test } from 'node:test';
import { Opcode } from '../../protocol/src/generated.ts';
import { framesOf, helloFrame, RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { passing } from '../support/wait.ts';

test('frames behind a HELLO that came in two reads wait for its answer', async () => {
  const server = await startServer();
  const hello = helloFrame();
  const name = Buffer.from('orders');
  const open = Buffer.from([0, 0, 0, 8 + name.length, Opcode.OPEN_TOPIC, 0, 0, 0, 0, 0, 0, 9]);
  const messages = framesOf({ topic: 1, first: 1, values: ['a', 'b'] });
  const client = await RawClient.bare(server.mqp);
  client.socket.write(hello.subarray(0, 20));
  // Two writes are two reads of the node only if time passes between them.
  await passing(30);
  client.socket.write(Buffer.concat([hello.subarray(20), open, name, messages]));
  await client.answersTo([1, 2]);
});
