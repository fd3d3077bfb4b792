// `npm run bench -- [options]`: builds what is stale, then asks the questions of bench/. JSON goes to
// stdout, progress to stderr; `--list` shows what can be asked, `--micro` times
// single parts instead.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setup } from './setup.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const built = setup();
if (!built) process.exit(1);
const words = process.argv.slice(2);
const folder = words.includes('--micro') ? ['bench', 'micro'] : ['bench'];
const program = join(root, 'dist', ...folder, 'run.js');
const rest = words.filter((word) => word !== '--micro');
const child = spawn(process.execPath, [program, ...rest], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('close', (code) => process.exit(code ?? 1));
