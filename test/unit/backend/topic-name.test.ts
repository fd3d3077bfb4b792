import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTopicName, topicNameFault } from '../../../src/backend/topic-name.ts';

test('takes the names that Kafka takes', () => {
  for (const name of ['a', 'orders.v1_x-Y', '...', '_one', 'a'.repeat(249)]) {
    assert.equal(topicNameFault(name), undefined, name);
  }
});

test('refuses empty, long, odd and internal names with INVALID_TOPIC', () => {
  for (const name of ['', '.', '..', 'a'.repeat(250), 'ä', 'a b', 'a/b', 'a\n', '__x', '__']) {
    assert.throws(() => checkTopicName(name), { code: 'INVALID_TOPIC' }, JSON.stringify(name));
  }
});
