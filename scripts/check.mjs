// `npm run check`: everything that is checked without running the node. Each check is a command; a
// failure prints its output.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { root } from './test-files.mjs';

const outputLinesShown = 150;
const local = (...parts) => join(root, ...parts);

/**
 * A generator with `--check` compares what it would write with what is committed, and writes
 * nothing.
 */
const checks = [
  { name: 'tsc -b', args: [local('node_modules', 'typescript', 'bin', 'tsc'), '-b'] },
  {
    name: 'biome',
    args: [
      local('node_modules', '@biomejs', 'biome', 'bin', 'biome'),
      'check',
      '--error-on-warnings',
      '--max-diagnostics=20',
      '.',
    ],
  },
  { name: 'generated protocol', args: [local('scripts', 'generate.mjs'), '--check'] },
  { name: 'generated configuration docs', args: [local('scripts', 'config-docs.mjs'), '--check'] },
];

/**
 * Runs the checks, printing one line each. @returns {{name: string, seconds: number, ok:
 * boolean}[]}
 */
export function runChecks(say) {
  return checks
    .filter(({ args }) => existsSync(args[0]))
    .map(({ name, args }) => {
      const started = performance.now();
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        cwd: root,
        encoding: 'utf8',
        maxBuffer: 1 << 27,
      });
      const seconds = (performance.now() - started) / 1000;
      const ok = status === 0;
      say(`  ${ok ? 'ok  ' : 'FAIL'} ${name}  ${seconds.toFixed(1)} s`);
      if (!ok)
        say(
          `${stdout}${stderr}`
            .trimEnd()
            .split('\n')
            .slice(0, outputLinesShown)
            .join('\n')
            .replace(/^/gm, '       '),
        );
      return { name, seconds, ok };
    });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (runChecks((line) => console.log(line)).some(({ ok }) => !ok)) process.exitCode = 1;
  else {
    const tidy = spawnSync(
      process.execPath,
      ['--test-reporter=dot', local('dist', 'test', 'tidy.test.js')],
      { cwd: root, stdio: 'inherit' },
    );
    process.exitCode = tidy.status ?? 1;
  }
}
