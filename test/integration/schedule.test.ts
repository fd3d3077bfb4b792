import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repoRoot } from '../support/repo.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

interface File {
  readonly source: string;
  readonly built: string;
  readonly seconds: number;
  readonly alone: boolean;
}

interface Result {
  readonly source: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Room {
  readonly cores: number;
  readonly atOnceMax: number;
}

interface Schedule {
  readonly isOver: boolean;
  next(now: { nowMs: number; idleMs: number }): File | undefined;
  ended(file: File): void;
  add(files: readonly File[]): void;
}

type RunFiles = (
  files: readonly File[],
  options: Room & {
    env: NodeJS.ProcessEnv;
    timeoutMs: number;
    say: (line: string) => void;
    later: Promise<readonly File[]>;
  },
) => Promise<readonly Result[]>;

const script = (name: string) => import(pathToFileURL(join(repoRoot, 'scripts', name)).href);
const { Schedule } = (await script('schedule.mjs')) as {
  Schedule: new (files: readonly File[], room: Room) => Schedule;
};
const { runFiles } = (await script('run-files.mjs')) as { runFiles: RunFiles };

const named = (source: string, seconds: number, alone = false): File => ({
  source,
  built: '',
  seconds,
  alone,
});

/** A schedule on two cores, and what it starts while so many of them are idle for a time. */
function onTwoCores(...files: readonly File[]) {
  const schedule = new Schedule(files, { cores: 2, atOnceMax: 4 });
  const now = { nowMs: 0, idleMs: 0 };
  const startAll = () => {
    const started: string[] = [];
    for (let file = schedule.next(now); file !== undefined; file = schedule.next(now))
      started.push(file.source);
    return started.join(' ');
  };
  const after = (ms: number, idleCores: number) => {
    const started: string[] = [];
    for (let passed = 0; passed < ms; passed += 250) {
      now.nowMs += 250;
      now.idleMs += 250 * idleCores;
      started.push(startAll());
    }
    return started.filter((line) => line !== '').join(', ');
  };
  const end = (source: string) => {
    const file = files.find((one) => one.source === source);
    if (file !== undefined) schedule.ended(file);
  };
  return { schedule, startAll, after, end };
}

test('the longest files start first, one a core, and the next when one has ended', () => {
  const { schedule, startAll, after, end } = onTwoCores(
    named('c', 1),
    named('a', 9),
    named('d', 0.5),
    named('b', 5),
  );
  assert.equal(startAll(), 'a b');
  assert.equal(after(60_000, 0.4), '', 'no core to spare');
  end('b');
  assert.equal(startAll(), 'c');
  end('a');
  end('c');
  assert.equal(startAll(), 'd');
  assert.equal(schedule.isOver, false);
  end('d');
  assert.equal(schedule.isOver, true);
});

test('one more starts each time that cores have been idle since the last, up to a bound', () => {
  const files = ['a', 'b', 'c', 'd', 'e'].map((name) => named(name, 1));
  const { startAll, after, end } = onTwoCores(...files);
  assert.equal(startAll(), 'a b');
  assert.equal(after(1_750, 2), '', 'too early to say');
  assert.equal(after(500, 2), 'c');
  assert.equal(after(1_500, 2), '', 'what it needs is not seen yet');
  assert.equal(after(500, 2), 'd');
  assert.equal(after(60_000, 2), '', 'four at once');
  assert.equal(after(3_000, 0.1), '', 'by now they use the cores');
  end('a');
  assert.equal(after(3_000, 0.1), '');
  assert.equal(after(3_000, 1), 'e');
});

test('files that come later take their place among those that wait', () => {
  const { schedule, startAll, end } = onTwoCores(named('a', 1), named('b', 1), named('c', 2));
  assert.equal(startAll(), 'c a');
  schedule.add([named('later', 1.5), named('last', 0.5)]);
  end('a');
  assert.equal(startAll(), 'later');
  end('c');
  assert.equal(startAll(), 'b');
});

test('a file that runs alone starts after all others, and has none beside it', () => {
  const { startAll, after, end } = onTwoCores(
    named('alone 1', 60, true),
    named('a', 2),
    named('alone 2', 30, true),
    named('b', 1),
  );
  assert.equal(startAll(), 'a b');
  end('a');
  assert.equal(after(60_000, 2), '');
  end('b');
  assert.equal(startAll(), 'alone 1');
  assert.equal(after(60_000, 2), '');
  end('alone 1');
  assert.equal(startAll(), 'alone 2');
});

test('files are run side by side, each is counted, and what one leaves behind ends with it', async () => {
  const folder = tempDir();
  const log = join(folder, 'log');
  const written = (name: string, body: string, alone = false): File => {
    const built = join(folder, `${name}.test.mjs`);
    const lines = [
      "import { spawn } from 'node:child_process';",
      "import { appendFileSync, existsSync } from 'node:fs';",
      "import { test } from 'node:test';",
      `const note = (what) => appendFileSync(${JSON.stringify(log)}, '${name} ' + what + '\\n');`,
      `const isThere = (name) => existsSync(${JSON.stringify(folder)} + '/' + name);`,
      "note('begins');",
      body,
    ];
    writeFileSync(built, `${lines.join('\n')}\n`);
    return { source: name, built, seconds: 1, alone };
  };
  const waitFor = (name: string) =>
    `while (!isThere('${name}')) await new Promise((resolve) => setTimeout(resolve, 5));`;
  const files = [
    written(
      'well',
      `test('this one waits for another file', async () => { ${waitFor('ill-ran')} note('ends'); });`,
    ),
    written(
      'ill',
      `const child = spawn('sleep', ['600'], { stdio: 'inherit' });
       child.unref();
       note('left ' + child.pid);
       appendFileSync(${JSON.stringify(join(folder, 'ill-ran'))}, '');
       test('this one is red', () => { throw new Error('wrong'); });
       test('this one is left out', { skip: 'not here' }, () => {});`,
    ),
    written(
      'early',
      `test('this one ends before its work', () => {
         setTimeout(() => void Promise.reject(new Error('too late')), 10);
       });`,
    ),
    written('alone', `test('this one is alone', () => note('ends'));`, true),
  ];
  const said: string[] = [];
  const results = await runFiles(files, {
    cores: 2,
    atOnceMax: 2,
    // Else they take part in the run that this file may belong to.
    env: { NODE_TEST_CONTEXT: undefined },
    timeoutMs: 120_000,
    say: (line) => said.push(line),
    later: until(() => existsSync(join(folder, 'ill-ran'))).then(() => [
      written('later', "test('this one could not start before', () => note('ends'));"),
    ]),
  });
  const counts = results.map(({ source, passed, failed, skipped }) =>
    [source, passed, failed, skipped].join(' '),
  );
  assert.deepEqual(counts.toSorted(), [
    'alone 1 0 0',
    'early 1 1 0',
    'ill 0 1 1',
    'later 1 0 0',
    'well 1 0 0',
  ]);
  assert.match(said.join('\n'), /FAIL early .*✖ after a test.*too late/s);
  assert.match(said.join('\n'), /FAIL ill {2}0 passed, 1 FAILED, 1 skipped .*wrong/s);
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  assert.equal(lines.indexOf('alone ends'), lines.indexOf('alone begins') + 1, lines.join());
  const left = /^ill left (\d+)$/m.exec(lines.join('\n'))?.[1];
  assert(left !== undefined);
  const state = join('/proc', left, 'stat');
  assert(!existsSync(state) || / Z /.test(readFileSync(state, 'utf8')), 'the child was left');
});
