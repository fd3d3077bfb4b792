// What `npm start` and `npm test` run first: installs and builds what is missing or stale, and
// nothing else.
//
// It works from a fresh clone without node_modules, so it imports only Node's own modules and its
// neighbour. Each step prints one line with its seconds to stderr (stdout belongs to the node's
// ready line); a failed step prints its output.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildNative, missingTools, nativeBuildNeeded } from './build-native.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, '.cache');
const oldestNode = [20, 19];

const read = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
const sha = (text) => createHash('sha256').update(text).digest('hex');

/** Runs a command, kept quiet unless it fails. */
function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return {
    ok: result.status === 0,
    output: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? result.error.message : ''}`,
  };
}

/**
 * One line per step: its name at the start, its seconds at the end; the output only when it failed.
 */
function step(name, work) {
  const started = performance.now();
  process.stderr.write(`setup: ${name} … `);
  const { ok, output } = work();
  process.stderr.write(
    `${ok ? '' : 'FAILED after '}${((performance.now() - started) / 1000).toFixed(1)} s\n`,
  );
  if (!ok) process.stderr.write(`${output.split('\n').slice(-60).join('\n')}\n`);
  return ok;
}

/**
 * The TypeScript sources and settings by name, size and time: enough to know whether the compiler
 * has to be asked.
 */
function typescriptState() {
  const settings = read(join(root, 'tsconfig.json'));
  const files = ['src', 'protocol', 'sdk', 'bench', 'test'].flatMap((folder) => {
    const path = join(root, folder);
    if (!existsSync(path)) return [];
    return readdirSync(path, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && /\.(ts|json)$/.test(entry.name))
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .filter((file) => !file.includes('node_modules'));
  });
  const states = files.sort().map((file) => {
    const { mtimeMs, size } = statSync(file);
    return `${file} ${mtimeMs} ${size}`;
  });
  return sha([settings, ...states].join('\n'));
}

function installStep() {
  const wanted = sha(read(join(root, 'package-lock.json')));
  const stamp = join(cache, 'npm-ci.sha256');
  if (existsSync(join(root, 'node_modules'))) {
    if (read(stamp).trim() === wanted) return true;
    // node_modules made by hand (npm install) carries npm's own copy of the lock; trust it when it
    // is newer than ours.
    const own = join(root, 'node_modules', '.package-lock.json');
    if (
      !existsSync(stamp) &&
      existsSync(own) &&
      statSync(own).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
    ) {
      writeFileSync(stamp, `${wanted}\n`);
      return true;
    }
  }
  const missing = missingTools();
  if (missing) {
    process.stderr.write(`${missing}\n`);
    return false;
  }
  const done =
    step('npm ci', () => run('npm', ['ci', '--include=dev', '--ignore-scripts'])) &&
    step('npm rebuild and native build (compile librdkafka: two minutes)', compileAll);
  if (done) writeFileSync(stamp, `${wanted}\n`);
  return done;
}

/**
 * What packages compile, and beside it what is our own: librdkafka is built by one process, and
 * takes the longest. A program cannot be linked before that is there, so it follows.
 */
function compileAll() {
  const both = 'MQPROXY_SETUP=1 npm rebuild & "$0" "$1"; own=$?; wait $! && exit $own';
  const build = join(root, 'scripts', 'build-native.mjs');
  return run('sh', ['-c', both, process.execPath, build], { MQ_NATIVE_EXCLUDE: 'direct' });
}

function nativeStep() {
  const need = nativeBuildNeeded();
  if (need === 'no') return true;
  const missing = missingTools();
  if (missing) {
    process.stderr.write(`${missing}\n`);
    return false;
  }
  return step(`native build (${need})`, () => buildNative());
}

function typescriptStep() {
  const stamp = join(root, 'dist', '.setup-stamp');
  const state = typescriptState();
  if (read(stamp).trim() === state) return true;
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const done = step('tsc -b', () => run(process.execPath, [compiler, '-b']));
  if (done) writeFileSync(stamp, `${state}\n`);
  return done;
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Two setups at once (a server and a test run, say) would build into the same folders: the second
 * waits for the first.
 */
function withLock(work) {
  mkdirSync(cache, { recursive: true });
  const lock = join(cache, 'setup.lock');
  let told = false;
  for (;;) {
    try {
      const file = openSync(lock, 'wx');
      writeFileSync(file, String(process.pid));
      closeSync(file);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const owner = Number(read(lock)) || 0;
      if (owner > 0 && !alive(owner)) rmSync(lock, { force: true });
      else if (!told) process.stderr.write(`setup: waiting for another setup (pid ${owner})\n`);
      told = true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * Brings the clone up to date. Returns false when a step failed; what is wrong has been printed.
 * `typescript: 'later'` leaves the compiler to the caller.
 */
export function setup({ typescript = 'now' } = {}) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    process.stderr.write(
      `mqproxy: needs Node ${oldestNode.join('.')} or later, this is ${process.version}\n`,
    );
    return false;
  }
  return withLock(
    () => installStep() && nativeStep() && (typescript === 'later' || typescriptStep()),
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href && !setup())
  process.exitCode = 1;
