// The test runner: `node scripts/test.mjs LANE [--only STEP] [--fresh] [PART OF A FILE NAME …]`.
//
//   quick    check, units and embedded tests, native tests: no Kafka; CONTRIBUTING.md has the minutes
//   default  quick, then the tests on a real Kafka, then short faults: `npm test`
//   fault    only the faults
//   long     packed install, fresh clone, other Node versions, larger counts, soak; a step that passed on this very tree is not run again
//
// Every lane installs and builds first what is missing, prints its minutes, and ends with one line:
// `N passed, N failed, N skipped`. Test files run as the machine has room for them: schedule.mjs.

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { runChecks } from './check.mjs';
import { endChildrenOnSignals } from './end-children.mjs';
import { killRunning, runFiles } from './run-files.mjs';
import { setup } from './setup.mjs';
import { root, testFiles } from './test-files.mjs';
import { treeOf } from './tree.mjs';

const slowSeconds = 60;
/** The share of the cores that were idle while a file ran, below which its time says nothing. */
const idleShare = 0.25;
const slowFiles = JSON.parse(readFileSync(join(root, 'test', 'slow-files.json'), 'utf8'));
const mostShown = 8;
const say = (line) => process.stdout.write(`${line}\n`);
const total = { passed: 0, failed: 0, skipped: 0 };
const timings = [];
let kafka;

function count(result) {
  for (const key of Object.keys(total)) total[key] += result[key] ?? 0;
}

const cores = Math.min(availableParallelism(), 4);
const room = { cores, atOnceMax: 2 * cores };
const oneAtATime = { cores: 1, atOnceMax: 1 };

/**
 * Runs test files and adds them up. `oneAtATime` where timing or load of a neighbour would disturb.
 */
async function files(chosen, { timeoutMs = 600_000, scale = 'default', ...options } = {}) {
  const named = chosen.filter(
    ({ source }) => filters.length === 0 || filters.some((part) => source.includes(part)),
  );
  const env = { MQPROXY_TEST_SCALE: scale };
  const expected = expectedSeconds();
  const timed = named.map((file) => ({ ...file, seconds: expected(file) }));
  const needing = timed.filter((file) => file.kafka);
  // The others need not wait until it has started, which takes longest where it is fetched first.
  const later = needing.length > 0 ? withKafka(needing, env) : undefined;
  const now = timed.filter((file) => !file.kafka);
  const results = await runFiles(now, { ...room, env, timeoutMs, say, later, ...options });
  results.forEach(count);
  timings.push(...results);
}

/** What files took the last time on this machine, in seconds. */
const lastSeconds = {
  file: join(root, '.cache', 'test-seconds.json'),
  read() {
    return existsSync(this.file) ? JSON.parse(readFileSync(this.file, 'utf8')) : {};
  },
  keep() {
    const seconds = timings.map((one) => [one.source, Number(one.seconds.toFixed(1))]);
    const known = { ...this.read(), ...Object.fromEntries(seconds) };
    writeFileSync(this.file, `${JSON.stringify(known, undefined, 2)}\n`);
  },
};

/** For the order in which files start: what they took, or what those of their kind take. */
function expectedSeconds() {
  const last = lastSeconds.read();
  const ofKind = { fault: 30, kafka: 15, quick: 5 };
  return ({ source, lane: kind }) =>
    last[source] ?? (slowFiles[source] ? slowSeconds : (ofKind[kind] ?? slowSeconds));
}

/**
 * Starts Kafka for files. Without Java they are skipped, loudly; on a build machine that is a
 * failure. @returns {Promise<object[]>} the files that can run
 */
async function withKafka(needing, env) {
  const missing = await startKafka();
  if (!missing) {
    env.MQPROXY_TEST_KAFKA = kafka.address;
    return needing;
  }
  const ci = process.env.CI === 'true';
  say(
    `\n  !!! ${ci ? 'FAILED' : 'SKIPPED'}: ${needing.length} files that need a real Kafka did not run.\n  !!! ${missing}\n`,
  );
  count(ci ? { failed: needing.length } : { skipped: needing.length });
  return [];
}

/**
 * One broker for the whole run. @returns {Promise<string | undefined>} what is missing, in one line
 */
async function startKafka() {
  if (kafka) return undefined;
  const support = await import(join(root, 'dist', 'test', 'support', 'kafka.js'));
  const missing = support.kafkaMissing();
  if (missing) return missing;
  const started = performance.now();
  const first = !support.jarsAreThere();
  const broker = await support.createKafka();
  process.on('exit', () => broker.killNow());
  try {
    await broker.start();
  } catch (error) {
    await broker.close();
    return error.message;
  }
  kafka = broker;
  say(`  Kafka on ${broker.address}${first ? ', jars fetched' : ''}, ${seconds(started)}`);
  return undefined;
}

const seconds = (started) => `${((performance.now() - started) / 1000).toFixed(1)} s`;

function check() {
  for (const { ok } of runChecks(say)) count(ok ? { passed: 1 } : { failed: 1 });
}

/** The tests of the native core: a program of their own, without Node, built and run beside files. */
const nativeTests = {
  source: 'native tests',
  alone: false,
  async run() {
    const script = join(root, 'scripts', 'native-test.mjs');
    const { status, output } = await new Promise((resolve) => {
      const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 27 };
      execFile(process.execPath, [script], options, (error, stdout, stderr) =>
        resolve({ status: error ? (error.code ?? 1) : 0, output: `${stdout}${stderr}` }),
      );
    });
    const passed = Number(/\[ {2}PASSED {2}\] (\d+) test/.exec(output)?.[1] ?? 0);
    const failed = Number(/(\d+) FAILED TESTS?/.exec(output)?.[1] ?? (status === 0 ? 0 : 1));
    const why = output.split('\n').at(-2);
    const skips = status === 0 && passed === 0 ? [{ name: 'all of them', why }] : [];
    const failures = failed ? [{ name: 'GoogleTest', why: `exit code ${status}` }] : [];
    return { passed, failed, skipped: skips.length, failures, skips, output };
  },
};

const all = testFiles();
const lane = (name) => all.filter((file) => file.lane === name);

const isIntegration = ({ source }) => source.startsWith('test/integration/');
const parts = {
  units: lane('quick').filter((file) => !isIntegration(file)),
  embedded: lane('quick').filter(isIntegration),
  native: [nativeTests],
  kafka: lane('kafka'),
  fault: lane('fault'),
};
const partsOf = (...names) => names.map((name) => ({ name, files: parts[name] }));
const quick = [{ name: 'check', run: check }, ...partsOf('units', 'embedded', 'native')];
const lanes = {
  quick,
  default: [...quick, ...partsOf('kafka', 'fault')],
  fault: partsOf('fault'),
  long: [
    ...lane('long').map((file) => ({
      name: basename(file.source, '.test.ts'),
      run: () => long([file]),
    })),
    { name: 'node-22', run: () => otherNode(22) },
    { name: 'node-24', run: () => otherNode(24) },
    { name: 'counts', run: () => long(all.filter((file) => file.lane !== 'long' && file.scaled)) },
  ],
};

/** Runs the files of all these parts beside each other. */
async function runParts(chosen) {
  if (chosen.length === 0) return;
  say(`\n${chosen.map(({ name }) => name).join(', ')}`);
  const started = performance.now();
  await files(chosen.flatMap((part) => part.files));
  for (const part of chosen) {
    const sources = new Set(part.files.map(({ source }) => source));
    const times = timings.filter(({ source }) => sources.has(source)).map((one) => one.seconds);
    if (times.length === 0) continue;
    const sum = times.reduce((a, b) => a + b, 0) / 60;
    say(`  ${part.name}: ${times.length} files, ${sum.toFixed(1)} min one after the other`);
  }
  say(`  together: ${minutes(started)}`);
}

/** Files with their larger counts (`MQPROXY_TEST_SCALE=long`). */
function long(chosen) {
  return files(chosen, { ...oneAtATime, scale: 'long', timeoutMs: 3 * 3_600_000 });
}

/** The suite of `npm test` under another Node: an npm package carries a whole one. */
async function otherNode(major) {
  const folder = join(root, '.cache', `node-${major}`);
  const name = `node-${process.platform}-${process.arch}`;
  const node = join(folder, 'node_modules', name, 'bin', 'node');
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    const { status, stderr } = spawnSync(
      'npm',
      ['install', '--no-audit', '--no-fund', `${name}@${major}`],
      { cwd: folder, encoding: 'utf8' },
    );
    if (status !== 0) {
      say(`  FAIL npm could not install ${name}@${major}\n${stderr}`);
      count({ failed: 1 });
      return;
    }
  }
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
  say(`  Node ${version}`);
  await files(['quick', 'kafka', 'fault'].flatMap(lane), { node });
}

const { values, positionals } = readArgs();
const [laneName = 'default', ...filters] = positionals;

function readArgs() {
  const options = {
    only: { type: 'string', multiple: true },
    fresh: { type: 'boolean', default: false },
  };
  try {
    return parseArgs({ allowPositionals: true, options });
  } catch (error) {
    process.stderr.write(`${error.message}\n${usageOf()}\n`);
    process.exit(2);
  }
}

function usageOf(chosen = lanes.default) {
  const steps = chosen.map(({ name }) => name).join('|');
  return `usage: node scripts/test.mjs ${Object.keys(lanes).join('|')} [--only ${steps}] [--fresh] [PART OF A FILE NAME …]`;
}

/**
 * What the long lane did on this very tree, so that an interrupted run goes on where it stopped.
 */
const memory = {
  file: join(root, '.cache', 'test-long.json'),
  tree: undefined,
  passed: {},
  open() {
    this.tree = treeOf(root);
    const before = existsSync(this.file) ? JSON.parse(readFileSync(this.file, 'utf8')) : {};
    if (!values.fresh && before.tree === this.tree) this.passed = before.passed;
  },
  keep(name, counts) {
    this.passed[name] = counts;
    writeFileSync(
      this.file,
      `${JSON.stringify({ tree: this.tree, passed: this.passed }, undefined, 2)}\n`,
    );
  },
};

async function runStep(step) {
  const before = memory.passed[step.name];
  if (laneName === 'long' && before && !values.only) {
    say(`\n${step.name}: passed before on this tree (--fresh runs it again)`);
    count(before);
    return;
  }
  say(`\n${step.name}`);
  const started = performance.now();
  const was = { ...total };
  await step.run();
  say(`  ${step.name}: ${minutes(started)}`);
  const gained = Object.fromEntries(Object.keys(total).map((key) => [key, total[key] - was[key]]));
  if (laneName === 'long' && gained.failed === 0 && filters.length === 0)
    memory.keep(step.name, gained);
}

const minutes = (started) => `${((performance.now() - started) / 60_000).toFixed(1)} min`;

function showMost(title, measure) {
  const most = timings.toSorted((a, b) => (b[measure] ?? 0) - (a[measure] ?? 0));
  const all = timings.reduce((sum, one) => sum + (one[measure] ?? 0), 0);
  say(`\n${title}, of ${(all / 60).toFixed(1)} min`);
  for (const one of most.slice(0, mostShown))
    say(`  ${(one[measure] ?? 0).toFixed(1).padStart(6)} s  ${one.source}`);
}

/**
 * A file over the limit must be listed with its reason, so that `npm test` stays a thing one runs.
 */
function judgeSlowness() {
  const slowest = timings.toSorted((a, b) => b.seconds - a.seconds);
  if (slowest.length === 0) return;
  if (laneName !== 'long') lastSeconds.keep();
  showMost('slowest files', 'seconds');
  showMost('most processor time, the shared Kafka and what was killed not counted', 'cpuSeconds');
  if (laneName === 'long') return;
  for (const { source, seconds: time, idleCores } of slowest.filter(
    (file) => file.seconds > slowSeconds && !slowFiles[file.source],
  )) {
    // What others do on the machine, or how slow it is, is no fault of a file.
    if (idleCores < idleShare * availableParallelism()) {
      say(`  ${source} ran ${time.toFixed(0)} s on a busy machine: not judged`);
      continue;
    }
    say(
      `  FAIL ${source} ran ${time.toFixed(0)} s, over ${slowSeconds} s: make it shorter, or list it with its reason in test/slow-files.json`,
    );
    count({ failed: 1 });
  }
}

/** Once more at the end, where a reader of a long run looks first. */
function nameFailures() {
  const failed = timings.filter(({ failures }) => failures.length > 0);
  if (failed.length > 0) say('\nfailed');
  for (const { source, failures } of failed) {
    for (const { name, why = '' } of failures)
      say(`  ${source}: ${name}\n    ${why.trim().split('\n')[0]}`);
  }
}

async function main() {
  const chosen = lanes[laneName];
  const steps = chosen?.filter(({ name }) => !values.only || values.only.includes(name));
  if (!steps?.length) {
    say(usageOf(chosen));
    process.exitCode = 2;
    return;
  }
  const started = performance.now();
  // Type errors are a failed check, not a reason to run nothing: the compiler emits all the same.
  if (!setup({ typescript: steps.some(({ name }) => name === 'check') ? 'later' : 'now' })) {
    process.exitCode = 1;
    return;
  }
  if (laneName === 'long') memory.open();
  for (const step of steps.filter(({ run }) => run)) await runStep(step);
  await runParts(steps.filter((step) => step.files));
  judgeSlowness();
  await kafka?.close();
  if (total.passed + total.failed + total.skipped === 0) count({ failed: 1 });
  nameFailures();
  say(`\n${laneName}: ${minutes(started)}`);
  say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  if (total.failed > 0) process.exitCode = 1;
}

endChildrenOnSignals(killRunning);
await main();
