import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { connect } from '../support/connect.ts';
import { startServer } from '../support/start-server.ts';

const counter = /^mqproxy_topic_messages_stored_total\{topic="([^"]+)"\} (\d+)$/gm;

test('metrics name the busiest topics, and count the rest together', async () => {
  const server = await startServer();
  const client = await connect(server);
  const more = 7;
  const names = Array.from({ length: limits.metricTopicsMax + more }, (_, i) => `topic-${i}`);
  // The first ones get one message, all others two.
  const messages = [...names, ...names.slice(more)];
  await Promise.all(messages.map((topic) => client.produce(topic, { value: 'v' })));
  await client.close();
  const response = await fetch(`http://${server.admin.host}:${server.admin.port}/metrics`);
  const found = new Map<string, number>();
  for (const [, topic = '', count] of (await response.text()).matchAll(counter)) {
    found.set(topic, Number(count));
  }
  assert.equal(found.size, limits.metricTopicsMax + 1);
  assert.equal(found.get('other'), more);
  for (const topic of names.slice(more)) assert.equal(found.get(topic), 2, topic);
});
