import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMap, encodeMap } from '../../../protocol/src/map-body.ts';

test('half a character is sent as U+FFFD, wherever it stands, and nothing else is changed', () => {
  const bytes = Buffer.from([0xed, 0xa0, 0x80]);
  const map = {
    name: 'a\ud800',
    list: ['\udfff!', '😀', 7],
    deep: { under: ['\ud83d'] },
    bytes,
    none: null,
    big: 2 ** 40,
  };
  const decoded = decodeMap(encodeMap(map), 'a test');
  assert.equal(decoded['name'], 'a\ufffd');
  assert.deepEqual(decoded['list'], ['\ufffd!', '😀', 7]);
  assert.deepEqual({ ...(decoded['deep'] as object) }, { under: ['\ufffd'] });
  assert.deepEqual(Buffer.from(decoded['bytes'] as Uint8Array), bytes);
  assert.deepEqual([decoded['none'], decoded['big']], [null, 2 ** 40]);
});
