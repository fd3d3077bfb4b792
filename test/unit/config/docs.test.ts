import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationPage } from '../../../src/config/docs.ts';
import { environmentOf, listSettings } from '../../../src/config/paths.ts';
import { configSchema } from '../../../src/config/schema.ts';

test('docs/configuration.md is what the schema says', () => {
  assert.equal(readFileSync('docs/configuration.md', 'utf8'), configurationPage());
});

test('every setting has a description, and no two share a variable', () => {
  const settings = listSettings(configSchema);
  for (const { path, leaf } of settings) assert.ok(leaf.description.length > 10, path);
  const names = settings.map(({ path }) => environmentOf(path));
  assert.equal(new Set(names).size, names.length);
});
