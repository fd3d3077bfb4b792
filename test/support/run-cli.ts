import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { exitOf } from './child.ts';
import { repoRoot } from './repo.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** What a command did. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `mqproxy` to its end, with `input` on stdin and more `variables`; gives up after
 * `timeoutMs`.
 */
export async function runCli(
  words: readonly string[],
  input: string | Buffer = '',
  timeoutMs = GIVE_UP_MS,
  variables: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const program = join(repoRoot, 'bin', 'mqproxy.js');
  const env = { ...process.env, ...variables };
  const child = spawn(process.execPath, [program, ...words], { stdio: 'pipe', env });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    const { code } = await within(exitOf(child), timeoutMs, `mqproxy ${words.join(' ')}`);
    return { code, stdout, stderr };
  } finally {
    child.kill('SIGKILL');
  }
}
