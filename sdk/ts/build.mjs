// Builds the package twice, as ES modules and as CommonJS, with the protocol's sources compiled in.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const typescript = createRequire(import.meta.url).resolve('typescript/package.json');
const tsc = join(dirname(typescript), 'bin', 'tsc');

rmSync(join(here, 'dist'), { recursive: true, force: true });
for (const [kind, type] of [
  ['esm', 'module'],
  ['cjs', 'commonjs'],
]) {
  execFileSync(process.execPath, [tsc, '-p', join(here, `tsconfig.${kind}.json`)], {
    stdio: 'inherit',
  });
  writeFileSync(join(here, 'dist', kind, 'package.json'), `${JSON.stringify({ type })}\n`);
}
