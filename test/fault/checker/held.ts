import assert from 'node:assert/strict';
import { runCli } from '../../support/run-cli.ts';
import type { Payload } from './payload.ts';

/** A line of `export`; of several headers of one name the values are in one array. */
interface Held {
  readonly id: string;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** Every message that a running node keeps beside its outbox: undeliverable, or parked. */
export async function heldBy(
  server: string,
  onHeld: (id: string, payload: Payload) => void,
): Promise<void> {
  for (const log of ['undeliverable', 'parked']) {
    const { code, stdout, stderr } = await runCli([log, 'export', '--server', server]);
    assert.equal(code, 0, stderr);
    for (const line of stdout.split('\n')) {
      if (line === '') continue;
      const { id, value, headers } = JSON.parse(line) as Held;
      const pairs = Object.entries(headers).flatMap(([name, given]) =>
        (Array.isArray(given) ? given : [given]).map((text) => [name, text] as const),
      );
      onHeld(id, { value, headers: pairs });
    }
  }
}
