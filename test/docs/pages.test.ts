import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { listSettings } from '../../src/config/paths.ts';
import { configSchema } from '../../src/config/schema.ts';
import { anchorsOf, linksOf, tableRows } from '../support/markdown.ts';
import { repoRoot } from '../support/repo.ts';

const read = (path: string): string => readFileSync(join(repoRoot, path), 'utf8');

const pages = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'deploy/README.md', 'protocol/SPEC.md'],
  ...['docs', 'docs/adr'].flatMap((folder) =>
    readdirSync(join(repoRoot, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

test('every link of the pages leads to a file and a heading that are there', () => {
  for (const page of pages) {
    for (const link of linksOf(read(page))) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : normalize(join(dirname(page), path));
      assert.ok(existsSync(join(repoRoot, target)), `${page}: ${link} leads nowhere`);
      if (anchor === undefined) continue;
      assert.ok(anchorsOf(read(target)).has(anchor), `${page}: ${link} names no heading`);
    }
  }
});

test('every file that the pages name in code is there', () => {
  const folders = 'src|test|native|protocol|sdk|scripts|bench|deploy|docs|bin';
  const named = new RegExp(`\`((?:${folders})/[\\w./-]*\\.[a-z]+)\``, 'g');
  for (const page of pages) {
    for (const [, path = ''] of read(page).matchAll(named)) {
      if (/NAME|NNN/.test(path)) continue;
      assert.ok(existsSync(join(repoRoot, path)), `${page}: there is no ${path}`);
    }
  }
});

test('every setting that the pages name is one, and each section too', () => {
  const paths = listSettings(configSchema).map(({ path }) => path);
  const sections = new Set(paths.filter((path) => path.includes('.')).map(sectionOf));
  const known = new Set(paths.flatMap((path) => [path, `${path}File`, parentOf(path)]));
  for (const page of pages.filter((path) => !path.startsWith('protocol/'))) {
    for (const [, name = ''] of read(page).matchAll(/`([a-z][\w]*(?:\.[\w<>]+)+)(?::[^`]*)?`/g)) {
      if (!sections.has(sectionOf(name)) || /\.(md|ts|yaml|json|key|cert)$/.test(name)) continue;
      const isHello = /^limits\.\w+(Max|Ms)$/.test(name);
      assert.ok(isHello || known.has(name), `${page}: there is no setting ${name}`);
    }
  }
});

test('every number of a test that the environment may set is named for who runs it, and no other', () => {
  const sources = ['test', 'bench'].flatMap((folder) =>
    readdirSync(join(repoRoot, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(join(folder, name))),
  );
  const names = (text: string, pattern: RegExp) =>
    new Set([...text.matchAll(pattern)].map(([, name = '']) => name));
  const used = names(sources.join('\n'), /'(MQP_[A-Z_]+)'/g);
  const named = names(read('CONTRIBUTING.md'), /\b(MQP_[A-Z_]+)\b/g);
  assert.deepEqual([...named].sort(), [...used].sort());
});

test('every run of the long lane that is told by name is one of its steps, and finds its files', async () => {
  const { testFiles } = (await import(join(repoRoot, 'scripts', 'test-files.mjs'))) as {
    testFiles(): readonly { source: string; lane: string; scaled: boolean }[];
  };
  const files = testFiles();
  const steps = files.flatMap(({ source, lane }) =>
    lane === 'long' ? [basename(source, '.test.ts')] : [],
  );
  const told = [
    ...read('CONTRIBUTING.md').matchAll(/npm run test:long -- --only ([\w-]+)([^`]*)`/g),
  ];
  assert.ok(told.length > 5);
  for (const [command, step = '', parts = ''] of told) {
    if (step !== 'counts') assert.ok([...steps, 'node-22', 'node-24'].includes(step), command);
    else assert.notEqual(parts.trim(), '', `${command} runs all of them`);
    for (const part of parts.split(' ').filter(Boolean)) {
      const isThere = files.some(({ source, scaled }) => scaled && source.includes(part));
      assert.ok(isThere, `${command}: ${part} is no file that has larger counts`);
    }
  }
});

test('each guarantee has a paragraph, and each that is built names a test', () => {
  const page = read('docs/guarantees.md');
  const rows = tableRows(page, '# Guarantees');
  assert.equal(rows.length, 18);
  const paragraphs = page.split(/^## /m).filter((text) => /^G\d+ /.test(text));
  assert.deepEqual(
    paragraphs.map((text) => text.split(' ')[0]),
    Array.from({ length: 18 }, (_, i) => `G${i + 1}`),
  );
  for (const [i, text] of paragraphs.entries()) {
    const [, , state = ''] = rows[i] ?? [];
    assert.equal(/^built/.test(state), /Built: `test\//.test(text), `G${i + 1}: ${state}`);
    assert.equal(/gap/.test(state), /^- Gap: /m.test(text), `G${i + 1}: ${state}`);
    assert.equal(/planned/.test(state), /planned\b/i.test(text), `G${i + 1}: ${state}`);
  }
});

function sectionOf(path: string): string {
  return path.slice(0, path.indexOf('.'));
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('.'));
}
