import assert from 'node:assert/strict';
import { runCli } from '../../support/run-cli.ts';

/** Every message that a running node keeps beside its outbox: undeliverable, or parked. */
export async function heldBy(
  server: string,
  onHeld: (id: string, value: string) => void,
): Promise<void> {
  for (const log of ['undeliverable', 'parked']) {
    const { code, stdout, stderr } = await runCli([log, 'export', '--server', server]);
    assert.equal(code, 0, stderr);
    for (const line of stdout.split('\n')) {
      if (line === '') continue;
      const { id, value } = JSON.parse(line) as { id: string; value: string };
      onHeld(id, value);
    }
  }
}
