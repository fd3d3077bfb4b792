import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { cleanUp } from './clean-up.ts';
import { Cores } from './cores.ts';
import { skipWithoutProc } from './process-use.ts';
import { until } from './wait.ts';

test('a process beside many that compute lacks cores, and its times are not judged', {
  skip: skipWithoutProc(),
}, async () => {
  const greedy = Array.from({ length: 4 * availableParallelism() }, () => {
    const child = spawn(process.execPath, ['-e', 'console.log(1); for (;;);']);
    const kill = (): void => void child.kill('SIGKILL');
    cleanUp(kill, kill);
    let isRunning = false;
    child.stdout.once('data', () => {
      isRunning = true;
    });
    return () => isRunning;
  });
  await until(() => greedy.every((isRunning) => isRunning()), { what: 'them to compute' });
  const cores = new Cores();
  for (let piece = 0; piece < 50; piece++) {
    const end = process.cpuUsage().user + 1_000;
    while (process.cpuUsage().user < end);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(cores.wereThere('nothing'), false);
});
