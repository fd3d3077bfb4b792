// Builds the native addon against node-rdkafka's librdkafka, only when its sources changed.
//
// Three callers: `npm start` and `npm test` through scripts/setup.mjs, and npm itself as the
// `install` script of an installed package. Only Node's own modules are imported here, because
// nothing else is installed yet.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, 'build', 'mqproxy-native.json');

/** One line that says what to install, or undefined when everything needed to compile is there. */
export function missingTools(env = process.env) {
  if (process.platform === 'win32') return undefined;
  const found = (names) =>
    names.some((name) =>
      (env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, name))),
    );
  const missing = [
    { tools: [env.CXX ? env.CXX.split(' ')[0] : 'c++', 'g++', 'clang++'], apt: 'g++' },
    { tools: ['make', 'gmake'], apt: 'make' },
    { tools: [env.PYTHON ?? 'python3', 'python3'], apt: 'python3' },
  ].filter(({ tools }) => !found(tools) && !existsSync(tools[0]));
  if (missing.length === 0) return undefined;
  const names = missing.map(({ apt }) => apt).join(' ');
  const how =
    process.platform === 'darwin'
      ? 'xcode-select --install'
      : `apt-get install ${names} (Debian, Ubuntu) or dnf install ${names.replace('g++', 'gcc-c++')} (Fedora)`;
  return `mqproxy: building the native part needs ${names}, not found on PATH; install with: ${how}`;
}

/** Every file below a folder, sorted, without folders that hold no sources. */
function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function nodeGypProgram() {
  return createRequire(join(root, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
}

/**
 * What the build depends on. A change of `toolchain` asks for a clean build, a change of `sources`
 * for an incremental one.
 */
function fingerprint() {
  const hash = (parts) =>
    parts.reduce((sum, part) => sum.update(part).update('\0'), createHash('sha256')).digest('hex');
  const require = createRequire(join(root, 'package.json'));
  const versionOf = (name) => {
    const file = require.resolve(`${name}/package.json`);
    return `${file} ${JSON.parse(readFileSync(file, 'utf8')).version}`;
  };
  // The addon is Node-API: one build serves every Node version, so the version is not part of the
  // fingerprint.
  const toolchain = hash([
    process.platform,
    process.arch,
    versionOf('node-rdkafka'),
    versionOf('node-addon-api'),
  ]);
  const sources = [join(root, 'binding.gyp'), ...filesBelow(join(root, 'native'))];
  // What was left out is still to be built.
  const { MQ_NATIVE_EXCLUDE } = process.env;
  return {
    toolchain,
    sources: hash([
      ...sources.flatMap((file) => [file.slice(root.length), readFileSync(file)]),
      ...(MQ_NATIVE_EXCLUDE ? [MQ_NATIVE_EXCLUDE] : []),
    ]),
  };
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Says that what is in `build/` was made of these sources. */
export function stampBuild(now = fingerprint()) {
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, `${JSON.stringify(now)}\n`);
}

/**
 * Headers beside this Node, when it was installed with them, so that node-gyp need not download
 * any.
 */
function headerOption() {
  if (process.env.npm_config_nodedir) return [`--nodedir=${process.env.npm_config_nodedir}`];
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

/**
 * Whether a build is needed now.
 * @returns {'no' | 'incremental' | 'clean'}
 */
export function nativeBuildNeeded() {
  if (!existsSync(join(root, 'binding.gyp'))) return 'no';
  const stamp = readStamp();
  const now = fingerprint();
  const built = existsSync(join(root, 'build', 'Release', 'mq_native.node'));
  if (stamp?.toolchain !== now.toolchain || !existsSync(join(root, 'build', 'Makefile')))
    return 'clean';
  return built && stamp.sources === now.sources ? 'no' : 'incremental';
}

/**
 * The environment to link in. npm runs the install scripts of all packages in an order of its own,
 * so node-rdkafka may not have compiled librdkafka yet. Its header is there, and the linker needs no
 * more than a library of that name: an empty one stands in, and the real one is found at run time.
 */
function linkEnvironment(folder) {
  const rdkafka = dirname(
    createRequire(join(root, 'package.json')).resolve('node-rdkafka/package.json'),
  );
  // node-rdkafka's own addon is linked last: librdkafka is whole when that is there.
  const whole = existsSync(join(rdkafka, 'build', 'Release', 'node-librdkafka.node'));
  if (process.platform !== 'linux' || whole) return {};
  const name = 'librdkafka.so.1';
  const library = join(folder, name);
  const [compiler, ...flags] = (process.env.CC ?? 'cc').split(' ');
  const source = ['-x', 'c', '/dev/null'];
  spawnSync(compiler, [...flags, '-shared', `-Wl,-soname,${name}`, '-o', library, ...source]);
  // Where only needed libraries are recorded by default, an empty one would be left out.
  const linkFlags = `${process.env.LDFLAGS ?? ''} -Wl,--no-as-needed`.trim();
  return { MQ_LIBRDKAFKA: library, LDFLAGS: linkFlags };
}

/**
 * Builds what `nativeBuildNeeded` says.
 * @returns {{ok: boolean, output: string}} the compiler's output, for a failure
 */
export function buildNative({ stdio = 'pipe' } = {}) {
  const need = nativeBuildNeeded();
  if (need === 'no') return { ok: true, output: '' };
  const now = fingerprint();
  const nodeGyp = nodeGypProgram();
  const commands = need === 'clean' ? ['rebuild'] : ['configure', 'build'];
  const args = [
    nodeGyp,
    ...commands,
    '--release',
    `--jobs=${Math.min(availableParallelism(), 8)}`,
    ...headerOption(),
  ];
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-link-'));
  const run = spawnSync(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...linkEnvironment(folder) },
    stdio: ['ignore', stdio, stdio],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  rmSync(folder, { recursive: true, force: true });
  if (run.status === 0) stampBuild(now);
  return { ok: run.status === 0, output: `${run.stdout ?? ''}${run.stderr ?? ''}` };
}

function main() {
  // scripts/setup.mjs runs `npm ci` itself and builds afterwards, with its own line; building here
  // as well would be twice. npm runs this for `--package-lock-only` too, when nothing is installed
  // that could be built against.
  if (process.env.MQPROXY_SETUP || process.env.npm_config_package_lock_only) return;
  const line = nativeBuildNeeded() === 'no' ? undefined : missingTools();
  if (line) {
    console.error(line);
    process.exitCode = 1;
    return;
  }
  if (!buildNative({ stdio: 'inherit' }).ok) process.exitCode = 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main();
