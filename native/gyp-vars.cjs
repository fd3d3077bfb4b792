// What binding.gyp asks at configure time; CommonJS, because gyp runs it before anything is built.
// usage: node native/gyp-vars.cjs QUESTION [FOLDER]; the questions are the keys of `answers`
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '..');

/** The folder of node-rdkafka, whose librdkafka (library and header) this addon shares. */
function rdkafka() {
  return path.dirname(require.resolve('node-rdkafka/package.json', { paths: [root] }));
}

/** The C++ files of a folder, relative to the root; [] when there is no such folder. */
function sourcesIn(folder) {
  const full = path.join(root, folder);
  if (!fs.existsSync(full)) return [];
  return fs
    .readdirSync(full)
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** MQ_NATIVE_EXCLUDE=kafka leaves the Kafka part out, `direct` the program of that name. */
function wanted(file) {
  const excluded = (process.env.MQ_NATIVE_EXCLUDE ?? '').split(',').filter(Boolean);
  return !excluded.some((part) => file.startsWith(`native/${part}/`) || file.includes(`/${part}-`));
}

const gtestSource = '/usr/src/googletest/googletest';

/** How GoogleTest is there: 'library', 'source' (as some systems package it), or undefined. */
function gtest() {
  const include = ['/usr/include', '/usr/local/include', '/opt/homebrew/include'];
  if (!include.some((folder) => fs.existsSync(path.join(folder, 'gtest/gtest.h'))))
    return undefined;
  const names = ['libgtest.a', 'libgtest.so', 'libgtest.dylib'];
  const multiarch = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? '';
  const folders = [
    `/usr/lib/${multiarch}`,
    '/usr/lib',
    '/usr/lib64',
    '/usr/local/lib',
    '/usr/local/lib64',
    '/opt/homebrew/lib',
  ];
  if (folders.some((folder) => names.some((name) => fs.existsSync(path.join(folder, name)))))
    return 'library';
  return fs.existsSync(path.join(gtestSource, 'src/gtest-all.cc')) ? 'source' : undefined;
}

/** MQ_NATIVE_SANITIZE=1: the hostile input is fed under AddressSanitizer. */
const sanitize = process.env.MQ_NATIVE_SANITIZE === '1' ? ['-fsanitize=address,undefined'] : [];

const answers = {
  gtest: () => [gtest() ?? 'missing'],
  'gtest-cflags': () => [
    ...sanitize,
    ...(sanitize.length > 0 ? ['-fno-sanitize-recover=all', '-g'] : []),
    ...(gtest() === 'source' ? [`-I${gtestSource}`, '-DMQ_GTEST_SOURCE'] : []),
  ],
  'gtest-ldflags': () => sanitize,
  'gtest-libraries': () => [...(gtest() === 'source' ? [] : ['-lgtest']), '-lpthread'],
  sources: () =>
    ['native/napi', 'native/core', 'native/kafka', 'native/bind'].flatMap(sourcesIn).filter(wanted),
  core: () => sourcesIn('native/core'),
  kafka: () => sourcesIn('native/kafka').filter(wanted),
  dir: (folder) => sourcesIn(folder),
  has: (folder) => [sourcesIn(folder).filter(wanted).length > 0 ? '1' : '0'],
  include: () => [path.join(rdkafka(), 'deps/librdkafka/src')],
  // MQ_LIBRDKAFKA: a stand-in to link against while node-rdkafka is not compiled yet (build-native.mjs).
  library: () => [process.env.MQ_LIBRDKAFKA ?? path.join(rdkafka(), 'build/deps/librdkafka.so.1')],
  // Relative to build/Release, so that a tree can be moved or copied into an image as a whole.
  rpath: () => [
    path.relative(path.join(root, 'build/Release'), path.join(rdkafka(), 'build/deps')),
  ],
};

const [question = '', ...rest] = process.argv.slice(2);
const answer = answers[question];
if (answer === undefined) throw new TypeError(`gyp-vars: unknown question '${question}'`);
for (const line of answer(...rest)) console.log(line);
