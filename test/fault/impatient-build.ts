import { laneStates } from '../support/node-state.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import type { TestServer } from '../support/start-server.ts';

/**
 * A build that parks after 1.5 s in place of 30, takes a cluster for well for half a second after
 * a confirmation in place of 5, and gives a topic that is gone more time.
 */
export function impatientBuild(): string {
  const limits = 'src/base/limits.js';
  return spoiltBuild(
    { file: limits, find: /topicStuckMs: 30_?000/, replace: 'topicStuckMs: 1500' },
    { file: limits, find: /topicMissingMs: 60_?000/, replace: 'topicMissingMs: 600000' },
    { file: 'src/produce/sending/parking.js', find: /WELL_MS = 5_?000/, replace: 'WELL_MS = 500' },
  );
}

/** A number of all lanes of a node together. */
export async function sumOf(
  server: TestServer,
  name: 'parkedMessages' | 'outboxMessages',
): Promise<number> {
  return (await laneStates(server)).reduce((sum, lane) => sum + lane[name], 0);
}
