// `npm run fault`: the fault tests. With `--minutes N [--seed S] [--json FILE]` drawn faults against a
// node and a real Kafka instead, for that long; the other options are in test/fault/driver.ts.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setup } from './setup.mjs';
import { root } from './test-files.mjs';

const args = process.argv.slice(2);
const isDriven = args.some((arg) => arg.startsWith('--minutes'));
if (isDriven && !setup({ typescript: 'now' })) process.exit(1);

const at = args.findIndex((arg) => arg.startsWith('--seed'));
const seed = args[at]?.includes('=') ? args[at].split('=')[1] : args[at + 1];
const env = { ...process.env, ...(at >= 0 ? { MQP_SEED: seed } : {}) };
const driver = [join(root, 'dist', 'test', 'fault', 'driver.js'), ...args];
const tests = [join(root, 'scripts', 'test.mjs'), 'fault', ...args];
const program = ['--enable-source-maps', ...(isDriven ? driver : tests)];
const { status } = spawnSync(process.execPath, program, { cwd: root, env, stdio: 'inherit' });
process.exitCode = status ?? 1;
