import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitOf, Tail } from '../support/child.ts';
import { repoRoot } from '../support/repo.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until, within } from '../support/wait.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

/** `mqproxy produce --json` with its stdin left open. */
class Producing {
  readonly child: ChildProcess;
  readonly out = new Tail();
  readonly ended: Promise<number | null>;

  constructor(words: readonly string[]) {
    const program = join(repoRoot, 'bin', 'mqproxy.js');
    this.child = spawn(process.execPath, [program, 'produce', '--json', ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => this.out.add(chunk));
    this.ended = exitOf(this.child).then(({ code }) => code);
  }

  get answers(): Record<string, unknown>[] {
    const lines = this.out.text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  send(text: string): void {
    this.child.stdin?.write(text);
  }

  end(): Promise<number | null> {
    this.child.stdin?.end();
    return within(this.ended, 90_000, 'produce to end');
  }
}

const linesOf = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}`);

test('produce goes on over a kill of its node, and each line is there once', async () => {
  const server = await startServer();
  const topic = uniqueTopic('over');
  const producing = new Producing([topic, ...at(server)]);
  try {
    producing.send(`${linesOf(1, 500).join('\n')}\n`);
    await until(() => producing.answers.length > 0, { what: 'answers' });
    await server.kill('SIGKILL');
    producing.send(`${linesOf(501, 600).join('\n')}\n`);
    await server.restart();
    assert.equal(await producing.end(), 0);
  } finally {
    producing.child.kill('SIGKILL');
  }
  const numbers = producing.answers.map(({ n, error }) => error ?? n);
  assert.deepEqual(
    numbers,
    linesOf(1, 600).map((_, i) => i + 1),
  );
  const tail = ['tail', topic, ...at(server), '--from', 'beginning', '--count', '600'];
  const found = (await runCli(tail)).stdout.split('\n').slice(0, -1);
  assert.deepEqual(found.sort(), linesOf(1, 600).sort());
});

test('a line that was sent and not answered in time is UNKNOWN, with exit code 1', async () => {
  const server = await startServer();
  const producing = new Producing([uniqueTopic('unknown'), ...at(server), '--timeout', '10s']);
  try {
    producing.send('known\n');
    await until(() => producing.answers.length === 1, { what: 'an answer' });
    server.signal('SIGSTOP');
    producing.send('sent\n');
    assert.equal(await producing.end(), 1);
  } finally {
    server.signal('SIGCONT');
    producing.child.kill('SIGKILL');
  }
  const [known, sent] = producing.answers;
  assert.equal(known?.['ack'], 'stored');
  assert.deepEqual(sent, { n: 2, error: 'UNKNOWN' });
});
