// Runs test files, each in a process (group) of its own, and says how each went and how long it
// took.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Schedule } from './schedule.mjs';
import { root } from './test-files.mjs';

const outputLinesShown = 80;
const lookEveryMs = 250;
const running = new Set();

/** Ends every process group that a test file left: servers, brokers, the file itself. */
export function killRunning() {
  for (const child of running) killGroup(child);
}

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * What the cores of this machine were idle, together, in ms since it started; not what they waited
 * for a disk.
 */
const idleMs = () => cpus().reduce((sum, { times }) => sum + times.idle, 0);

/**
 * Processor seconds of this process's children that have ended, with all that they waited for
 * (`cutime` and `cstime`, proc(5)); 0 where there is no such file.
 */
function endedChildrenCpuSeconds() {
  const stat = '/proc/self/stat';
  if (!existsSync(stat)) return 0;
  // After the program's name, which may have spaces; a tick is a hundredth of a second on Linux.
  const fields = readFileSync(stat, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** What ended since the last look: children are reaped one by one, each before its `exit`. */
const reaped = {
  seen: endedChildrenCpuSeconds(),
  take() {
    const before = this.seen;
    this.seen = endedChildrenCpuSeconds();
    return this.seen - before;
  },
};

/**
 * Runs test files, as many at once as the machine has room for, and prints each when it has ended.
 * @param {{source: string, built: string, seconds: number, alone: boolean, run?: () =>
 * Promise<object>}[]} files one with `run` is no file: it is run by that, which gives its counts
 * @param {{cores: number, atOnceMax: number, node?: string, env?: Record<string, string>, timeoutMs:
 * number, say: (line: string) => void, later?: Promise<object[]>}} options `later`: files that can start
 * from then on
 * @returns {Promise<{source: string, seconds: number, idleCores: number, cpuSeconds?: number,
 * passed: number, failed: number, skipped: number}[]>} in the order they ended
 */
export function runFiles(files, options) {
  const schedule = new Schedule(files, options);
  reaped.take();
  const results = [];
  let awaited = options.later;
  return new Promise((resolve, reject) => {
    const start = async (file) => {
      const started = { ms: performance.now(), idleMs: idleMs() };
      const counts = await (file.run?.() ?? runFile(file, options));
      const ms = performance.now() - started.ms;
      const idleCores = (idleMs() - started.idleMs) / ms;
      const result = { ...counts, source: file.source, seconds: ms / 1000, idleCores };
      results.push(result);
      print(result, options.say);
      schedule.ended(file);
      startWhatFits();
    };
    const startWhatFits = () => {
      const now = { nowMs: performance.now(), idleMs: idleMs() };
      for (let file = schedule.next(now); file !== undefined; file = schedule.next(now))
        start(file).catch(reject);
      if (awaited !== undefined || !schedule.isOver) return;
      clearInterval(looking);
      resolve(results);
    };
    const looking = setInterval(startWhatFits, lookEveryMs);
    awaited?.then((more) => {
      awaited = undefined;
      schedule.add(more);
      startWhatFits();
    }, reject);
    startWhatFits();
  });
}

async function runFile(file, { node = process.execPath, env = {}, timeoutMs }) {
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-run-'));
  const report = join(folder, 'report.jsonl');
  const output = [];
  let cpuSeconds = 0;
  const args = [
    '--enable-source-maps',
    `--test-reporter=${join(root, 'scripts', 'test-reporter.mjs')}`,
    `--test-reporter-destination=${report}`,
    file.built,
  ];
  const end = existsSync(file.built)
    ? await new Promise((resolve) => {
        // A group of its own, so that whatever the file leaves behind ends with it.
        const child = spawn(node, args, {
          cwd: root,
          env: { ...process.env, ...env },
          stdio: ['ignore', 'pipe', 'pipe'],
          detached: true,
        });
        running.add(child);
        let late = false;
        const timer = setTimeout(() => {
          late = true;
          killGroup(child);
        }, timeoutMs);
        const keep = (chunk) => {
          output.push(chunk);
          if (output.length > 4_000) output.splice(0, 2_000);
        };
        child.stdout.on('data', keep);
        child.stderr.on('data', keep);
        child.on('error', (error) => resolve({ problem: error.message }));
        child.on('exit', (code, signal) => {
          cpuSeconds = reaped.take();
          clearTimeout(timer);
          killGroup(child);
          running.delete(child);
          const problem = late
            ? `did not end within ${timeoutMs / 1000} s`
            : signal
              ? `ended by ${signal}`
              : undefined;
          // The rest of the output comes with `close`, unless something outside the group still
          // holds the pipes.
          child.once('close', () => resolve({ code, problem }));
          setTimeout(() => resolve({ code, problem }), 2_000).unref();
        });
      })
    : { problem: `${file.built} was not built` };
  const tests = existsSync(report)
    ? readFileSync(report, 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
  rmSync(folder, { recursive: true, force: true });
  const failed = tests.filter(({ status }) => status === 'failed');
  if (end.problem) failed.push({ name: 'the file itself', why: end.problem });
  else if (end.code !== 0 && failed.length === 0)
    failed.push({ name: 'the file itself', why: `exit code ${end.code}` });
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: failed.length,
    skipped: tests.filter(({ status }) => status === 'skipped').length,
    failures: failed,
    skips: tests.filter(({ status }) => status === 'skipped'),
    output: Buffer.concat(output).toString(),
    cpuSeconds,
  };
}

function print(result, say) {
  const counts = [
    `${result.passed} passed`,
    result.failed ? `${result.failed} FAILED` : '',
    result.skipped ? `${result.skipped} skipped` : '',
  ];
  say(
    `  ${result.failed ? 'FAIL' : 'ok  '} ${result.source}  ${counts.filter(Boolean).join(', ')}  ${result.seconds.toFixed(1)} s`,
  );
  for (const { name, why } of result.skips) say(`       skipped: ${name}${why ? ` (${why})` : ''}`);
  if (!result.failed) return;
  for (const { name, why, line } of result.failures)
    say(`       ✖ ${name}${line ? ` (built line ${line})` : ''}\n${indent(why ?? '', 9)}`);
  const lines = result.output.trimEnd().split('\n');
  if (result.output.trim())
    say(`       output, last lines:\n${indent(lines.slice(-outputLinesShown).join('\n'), 9)}`);
}

function indent(text, spaces) {
  return text.replace(/^/gm, ' '.repeat(spaces));
}
