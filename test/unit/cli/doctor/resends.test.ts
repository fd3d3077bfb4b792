import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkResends } from '../../../../src/cli/doctor/resends.ts';
import { ResendLog } from '../../../../src/produce/sending/resend-log.ts';
import { tempDir } from '../../../support/temp-dir.ts';

test('what was sent again is summed up by cause, lane and cluster', () => {
  const folder = tempDir();
  assert.deepEqual(checkResends(folder), []);
  const log = new ResendLog(folder);
  const segments = [{ producerId: 7n, epoch: 0, flags: 0, count: 3, firstSequence: 1 }];
  const header = { firstSequence: 1, messages: 3, segments };
  log.write({ cause: 'start', lane: 0, timeMs: 1_000, header });
  log.write({ cause: 'start', lane: 0, timeMs: 2_000, header });
  log.write({ cause: 'parked', lane: 1, cluster: 1, timeMs: 3_000, header });
  appendFileSync(join(folder, 'resends.jsonl'), '{"cause":"cut sh');
  const found = checkResends(folder).map((finding) => `${finding.level} ${finding.found}`);
  const said = 'messages may be twice in Kafka:';
  assert.deepEqual(found, [
    `ok 6 ${said} start, lane 0, to the primary, last 1970-01-01T00:00:02.000Z`,
    `ok 3 ${said} parked, lane 1, to the backup, last 1970-01-01T00:00:03.000Z`,
  ]);
});
