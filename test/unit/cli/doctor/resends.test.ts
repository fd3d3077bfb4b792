import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../../../src/base/log.ts';
import { checkResends } from '../../../../src/cli/doctor/resends.ts';
import { LaneStats } from '../../../../src/produce/intake/lane-stats.ts';
import { ResendLog } from '../../../../src/produce/sending/resend-log.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { ManualClock } from '../../store/support.ts';

test('what was sent again is summed up by cause, lane and cluster', () => {
  const folder = tempDir();
  assert.deepEqual(checkResends(folder), []);
  const clock = new ManualClock();
  const newLog = () => {
    return new ResendLog({ dataDir: folder, clock, stats: new LaneStats(), log: silentLogger() });
  };
  const log = newLog();
  const segments = [{ producerId: 7n, epoch: 0, flags: 0, count: 3, firstSequence: 1 }];
  const header = { firstSequence: 1, messages: 3, segments };
  log.write({ cause: 'start', lane: 0, header });
  clock.advance(1_000);
  log.write({ cause: 'start', lane: 0, header });
  const path = join(folder, 'resends.jsonl');
  appendFileSync(path, '{"timeMs":1,"cause":"cut sh');
  clock.advance(1_000);
  // A node that was killed over a line; the next one goes on behind it.
  newLog().write({ cause: 'parked', lane: 1, cluster: 1, header });
  appendFileSync(path, '{"timeMs":1,"cause":"cut sh');
  const found = checkResends(folder).map((finding) => `${finding.level} ${finding.found}`);
  const said = 'messages may be twice in Kafka:';
  assert.deepEqual(found, [
    `ok 6 ${said} start, lane 0, to the primary, last 2023-11-14T22:13:21.000Z`,
    `ok 3 ${said} parked, lane 1, to the backup, last 2023-11-14T22:13:22.000Z`,
  ]);
});
