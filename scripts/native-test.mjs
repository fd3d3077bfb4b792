// Builds and runs mq_native_test: the addon's core without Node, under GoogleTest and, where the
// compiler has them, the address and undefined-behaviour sanitizers.
//
// GoogleTest is looked for on the system. Without it one line says what to install and the exit
// code is 0; with CI=true it is installed by apt-get, and when that fails the exit code is 1.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 27, ...options });

const hasGtest = () =>
  run(process.execPath, [join(root, 'native', 'gyp-vars.cjs'), 'gtest']).stdout.trim() !==
  'missing';

/** Whether a program with the sanitizers can be built and run here. */
function canSanitize() {
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-sanitize-'));
  try {
    const source = join(folder, 'probe.cc');
    writeFileSync(source, 'int main() { return 0; }\n');
    const program = join(folder, 'probe');
    const [compiler, ...flags] = (process.env.CXX ?? 'c++').split(' ');
    const built = run(compiler, [...flags, '-fsanitize=address,undefined', source, '-o', program]);
    return built.status === 0 && run(program, []).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Headers beside this Node, so that node-gyp need not download any; as in build-native.mjs. */
function headerOption() {
  if (process.env.npm_config_nodedir) return [`--nodedir=${process.env.npm_config_nodedir}`];
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

function nodeGyp(args, env) {
  const bin = createRequire(join(root, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
  const { status, stdout, stderr } = run(process.execPath, [bin, ...args, ...headerOption()], {
    env,
  });
  if (status !== 0) console.error(`${stdout}${stderr}`);
  return status === 0;
}

function main() {
  if (!hasGtest() && process.env.CI === 'true') {
    run('apt-get', ['install', '-y', 'libgtest-dev'], { stdio: 'inherit' });
  }
  if (!hasGtest()) {
    console.error(
      'mqproxy: the native tests need GoogleTest, skipped; install with: apt-get install libgtest-dev (Debian, Ubuntu) or dnf install gtest-devel (Fedora)',
    );
    return process.env.CI === 'true' ? 1 : 0;
  }
  const sanitize = canSanitize();
  if (!sanitize)
    console.error('mqproxy: no sanitizers in this compiler, the native tests run without');
  const env = { ...process.env, MQ_NATIVE_TEST: '1', MQ_NATIVE_SANITIZE: sanitize ? '1' : '0' };
  const built =
    nodeGyp(['configure'], env) && nodeGyp(['build', 'mq_native_test', '--jobs=2'], env);
  // Without the test target again, so that the next plain build does not make it.
  const restored = nodeGyp(['configure'], process.env);
  if (!built || !restored) return 1;
  const program = join(root, 'build', 'Release', 'mq_native_test');
  return run(program, process.argv.slice(2), { stdio: 'inherit' }).status ?? 1;
}

process.exitCode = main();
