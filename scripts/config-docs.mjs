// Writes docs/configuration.md from the schema; with --check only says whether it is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { configurationPage } from '../dist/src/config/docs.js';

const target = new URL('../docs/configuration.md', import.meta.url);
const page = configurationPage();

if (!process.argv.includes('--check')) {
  writeFileSync(target, page);
} else if (readFileSync(target, 'utf8') !== page) {
  console.error('docs/configuration.md is out of date: run node scripts/config-docs.mjs');
  process.exitCode = 1;
}
