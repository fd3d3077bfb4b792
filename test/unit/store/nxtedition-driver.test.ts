import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { driverForNode } from '../../../src/store/key-value-store.ts';

const suites = [
  'key-value-store',
  'open-lane-store',
  'key-value-aside-log',
  'key-value-lane-store',
  'chunk-log',
  'relane',
];

// Where this driver is the one of this Node, the suites themselves have run it already.
const skip = driverForNode(process.version) === 'nxtedition';

for (const suite of suites) {
  test(`the tests of ${suite} hold on the driver of newer Nodes too`, { skip }, async () => {
    const file = fileURLToPath(new URL(`./${suite}.test.js`, import.meta.url));
    const env: NodeJS.ProcessEnv = { ...process.env, MQPROXY_TEST_STORE_DRIVER: 'nxtedition' };
    // Under the runner's own context a child would report to it instead of failing by itself.
    delete env.NODE_TEST_CONTEXT;
    const { code, output } = await run(['--test', '--test-reporter=tap', file], env);
    assert.equal(code, 0, output);
    assert.match(output, /^ok \d+ - nxtedition: /m, 'it ran on the other driver');
  });
}

function run(args: string[], env: NodeJS.ProcessEnv): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), output: stdout + stderr });
    });
  });
}
