// Runs test files, each in a process (group) of its own, and says how each went and how long it
// took.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { root } from './test-files.mjs';

const outputLinesShown = 80;
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
 * @param {{source: string, built: string}[]} files
 * @param {{atOnce: number, node?: string, env?: Record<string, string>, timeoutMs: number, say:
 * (line: string) => void}} options
 * @returns {Promise<{source: string, seconds: number, passed: number, failed: number, skipped:
 * number}[]>} in the order given
 */
export async function runFiles(files, options) {
  const results = [];
  const waiting = files.map((file, index) => ({ file, index }));
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      results[next.index] = await runFile(next.file, options);
      print(results[next.index], options.say);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.atOnce) }, worker));
  return results;
}

async function runFile(file, { node = process.execPath, env = {}, timeoutMs }) {
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-run-'));
  const report = join(folder, 'report.jsonl');
  const started = performance.now();
  const output = [];
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
    source: file.source,
    seconds: (performance.now() - started) / 1000,
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: failed.length,
    skipped: tests.filter(({ status }) => status === 'skipped').length,
    failures: failed,
    skips: tests.filter(({ status }) => status === 'skipped'),
    output: Buffer.concat(output).toString(),
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
