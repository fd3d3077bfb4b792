import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { exitOf, Tail } from './child.ts';
import { cleanUp } from './clean-up.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** What npm set for the run of a test must not steer the npm of another folder. */
function envOfNpm(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(lifecycle|package)_|^NODE_TEST_CONTEXT$/.test(name),
    ),
  );
}

/** Runs a command to its end and gives its stdout; fails with all it said. */
export function runCommand(
  command: string,
  args: readonly string[],
  cwd: string,
  input?: string,
): string {
  const options = { cwd, env: envOfNpm(), input, encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  assert.equal(
    status,
    0,
    `${command} ${args.join(' ')}\n${error?.message ?? ''}${stdout}${stderr}`,
  );
  return stdout;
}

/** How {@link serveBy} starts a node. */
export interface ServeBy {
  readonly command: string;
  /** What comes before the arguments of `serve`. */
  readonly words: readonly string[];
  readonly cwd: string;
  readonly dataDir: string;
  readonly timeoutMs?: number;
}

/**
 * Starts a node by a command that starts it in its turn, such as `npx mqproxy serve`, on a free
 * port; all of these processes end with the test. Gives its address, `HOST:PORT`.
 */
export async function serveBy({
  command,
  words,
  cwd,
  dataDir,
  timeoutMs = GIVE_UP_MS,
}: ServeBy): Promise<string> {
  const free = ['--listen', '127.0.0.1:0', '--admin.listen', '127.0.0.1:0'];
  const args = [...words, ...free, '--data-dir', dataDir];
  // A group of its own: npm does not hand every signal on.
  const child = spawn(command, args, { cwd, env: envOfNpm(), detached: true });
  const said = new Tail();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => said.add(chunk));
  }
  const exited = exitOf(child);
  const end = (): void => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  cleanUp(async () => {
    end();
    await exited;
  }, end);
  const ended = exited.then((): never => assert.fail(`${command} ended:\n${said.text}`));
  ended.catch(() => undefined);
  const ready = said.match(/^mqproxy ready .*\bmqp=(\S+)/m);
  const [, address = ''] = await within(Promise.race([ready, ended]), timeoutMs, 'a ready line');
  return address;
}
