import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';

interface Figures {
  readonly count: number;
  readonly aheadSeconds: number;
  readonly overSeconds: number;
  readonly arrived: number;
  readonly missing: number;
  readonly duplicates: number;
  readonly early: number;
  readonly scheduledBeforeFirstDue: boolean;
  readonly firedPerSecond: number;
  readonly latenessMs: { readonly p50: number; readonly max: number };
  readonly atReceiverMs: { readonly p50: number; readonly max: number };
  readonly nodeRssBytes: number;
  readonly backend: string;
}

test('bench delay schedules, waits until all has come, and says how late each was', async () => {
  const { mqp } = await startServer();
  const words = ['bench', 'delay', '--server', `${mqp.host}:${mqp.port}`, '--topic', 'bench-delay'];
  const shape = ['--count', '3000', '--size', '100', '--ahead', '1500ms..2500ms'];
  const done = await runCli([...words, ...shape, '--json']);
  assert.equal(done.code, 0, done.stderr);
  const found = JSON.parse(done.stdout) as Figures;
  const { count, arrived, missing, duplicates, early, backend } = found;
  assert.deepEqual(
    { count, arrived, missing, duplicates, early, backend },
    { count: 3_000, arrived: 3_000, missing: 0, duplicates: 0, early: 0, backend: 'embedded' },
  );
  assert.deepEqual([found.aheadSeconds, found.overSeconds], [1.5, 1]);
  const { latenessMs, atReceiverMs, firedPerSecond, nodeRssBytes } = found;
  assert(latenessMs.p50 >= 0 && latenessMs.p50 <= latenessMs.max && latenessMs.max < 30_000);
  // It is seen no sooner than it was fired.
  assert(atReceiverMs.max >= latenessMs.p50 && firedPerSecond > 0 && nodeRssBytes > 1e6);
  for (const ahead of ['soon', '1s..soon', '1s..3s']) {
    const refused = await runCli([...words, '--over', '1s', '--ahead', ahead]);
    assert.deepEqual([refused.code, /--ahead/.test(refused.stderr)], [2, true], ahead);
  }
});
