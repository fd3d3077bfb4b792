import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordJson } from '../../../src/cli/record.ts';

const record = {
  topic: 'orders',
  partition: 2,
  offset: 41,
  timestampMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  id: 'ff-0-7',
  key: Buffer.from('k'),
  headers: [['a', Buffer.from('1')]] as [string, Uint8Array | null][],
  value: Buffer.from('grüße'),
};

test('a message of text is printed as strings', () => {
  assert.deepEqual(recordJson(record), {
    topic: 'orders',
    partition: 2,
    offset: 41,
    timestamp: '2026-01-02T03:04:05.006Z',
    id: 'ff-0-7',
    key: 'k',
    headers: { a: '1' },
    value: 'grüße',
  });
});

test('bytes that are not UTF-8 are printed as base64, and no bytes as null', () => {
  const json = recordJson({ ...record, id: undefined, key: Buffer.of(0xff), value: null });
  assert.equal(json['keyBase64'], '/w==');
  assert.ok(!('key' in json));
  assert.equal(json['value'], null);
  assert.equal(json['id'], null);
});

test('a header that comes twice is a list, and an empty value is not null', () => {
  const headers: [string, Uint8Array | null][] = [
    ['a', Buffer.from('1')],
    ['a', null],
    ['b', Buffer.of(0xfe)],
    ['__proto__', Buffer.alloc(0)],
  ];
  const json = recordJson({ ...record, headers });
  assert.equal(
    JSON.stringify(json['headers']),
    '{"a":["1",null],"b":{"base64":"/g=="},"__proto__":""}',
  );
});

test('a byte order mark is kept', () => {
  assert.equal(recordJson({ ...record, value: Buffer.from('\ufeffx') })['value'], '\ufeffx');
});
