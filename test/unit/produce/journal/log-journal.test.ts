import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EmbeddedLog } from '../../../../src/backend/embedded/embedded-log.ts';
import { OwnRecords } from '../../../../src/backend/embedded/own-records.ts';
import { coded } from '../../../../src/base/errors.ts';
import { LaneStats } from '../../../../src/produce/intake/lane-stats.ts';
import { Producers } from '../../../../src/produce/intake/producers.ts';
import { LogJournal } from '../../../../src/produce/journal/log-journal.ts';
import type { AppendRequest, LaneStore } from '../../../../src/store/lane-store.ts';
import { crc32c, ManualClock } from '../../store/support.ts';

const MARKS = {
  softBytes: 0,
  hardBytes: 0,
  freeBytesMin: 0,
  parkedBytes: 0,
  undeliverableBytes: 0,
  drainsGently: false,
};

test('windows that are due are not thrown away with own records that are refused', async () => {
  const clock = new ManualClock();
  const appends: AppendRequest[] = [];
  const store = {
    checkpointDue: true,
    nextSequence: 1,
    append: async (request: AppendRequest) => void appends.push(request),
  } as unknown as LaneStore;
  const log = {
    reserve: (topic: string) => {
      if (topic === 'gone') throw coded('UNKNOWN_TOPIC', topic);
      return { topicId: 1, baseOffset: 0 };
    },
    stored: () => {},
  } as unknown as EmbeddedLog;
  const own = new OwnRecords({ log, crc32c, onWaiting: () => {}, isFull: () => false });
  const producers = new Producers(clock);
  producers.open({ session: 1, producerId: 7n, epoch: 0, ordered: true, owner: '' });
  const journal = new LogJournal({
    store,
    log,
    own,
    clock,
    producers,
    stats: new LaneStats(),
    marks: MARKS,
    allowDegradedAck: false,
  });
  for (const topic of ['gone', 'here']) {
    const record = Buffer.alloc(21);
    record.writeUInt32BE(17);
    const added = own.add([{ topic, partition: 0, count: 1, records: record }]);
    await journal.appendOwn();
    await added;
  }
  assert.equal(appends.length, 1);
  assert.deepEqual(
    appends[0]?.windowPuts?.map(({ key }) => key.readBigUInt64BE()),
    [7n],
  );
});
