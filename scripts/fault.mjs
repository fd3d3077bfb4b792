// `npm run fault`: the fault tests. With `--minutes N [--seed S] [--json FILE]` drawn faults against a
// node and a real Kafka instead, for that long; the other options are in test/fault/driver.ts.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';
import { root } from './test-files.mjs';

const usage = `usage: npm run fault -- [--seed S] [PART OF A FILE NAME …]
       npm run fault -- --minutes N [--seed S] [--round-minutes N] [--embedded | --clusters 1|2]
                        [--only FAULT …] [--json FILE]
`;
const text = { type: 'string' };
const driven = {
  minutes: text,
  'round-minutes': text,
  embedded: { type: 'boolean' },
  clusters: text,
  only: { type: 'string', multiple: true },
  json: text,
};

function read() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ...driven, seed: text },
  });
  const { seed, minutes } = values;
  if (minutes === undefined) {
    const [lost] = Object.keys(driven).filter((name) => name in values);
    if (lost !== undefined) throw new Error(`--${lost} needs --minutes`);
  } else if (positionals.length > 0) throw new Error(`${positionals[0]}: --minutes takes no files`);
  for (const name of ['minutes', 'round-minutes'])
    if (name in values && !(Number(values[name]) > 0))
      throw new Error(`--${name}: a number above 0`);
  if (seed !== undefined && !/^\d+$/.test(seed)) throw new Error('--seed: a whole number');
  return { seed, isDriven: minutes !== undefined, positionals };
}

function main() {
  let asked;
  try {
    asked = read();
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    return 2;
  }
  const { seed, isDriven, positionals } = asked;
  if (isDriven && !setup({ typescript: 'now' })) return 1;
  const env = { ...process.env, ...(seed === undefined ? {} : { MQP_SEED: seed }) };
  const driver = [join(root, 'dist', 'test', 'fault', 'driver.js'), ...process.argv.slice(2)];
  const tests = [join(root, 'scripts', 'test.mjs'), 'fault', ...positionals];
  const program = ['--enable-source-maps', ...(isDriven ? driver : tests)];
  return spawnSync(process.execPath, program, { cwd: root, env, stdio: 'inherit' }).status ?? 1;
}

process.exitCode = main();
