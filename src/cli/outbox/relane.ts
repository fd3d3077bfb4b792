import { systemClock } from '../../base/clock.ts';
import { crc32c } from '../../native/addon.ts';
import { readManifest, writeManifest } from '../../node-manifest.ts';
import { laneOf } from '../../server/handlers/hello.ts';
import { finishRelane, type RelaneReport, relane } from '../../store/relane.ts';
import { grouped } from '../progress.ts';

/** What became of a data folder. */
export interface Relaned extends Partial<RelaneReport> {
  readonly lanesBefore: number;
  readonly lanes: number;
  readonly summary: string;
}

/**
 * Deals the outbox of `dataDir` out to another number of lanes; first completes a former change
 * that a crash has interrupted.
 * @throws CodedError `STORE_LOCKED` while the node runs, `NOT_SUPPORTED` for an embedded log
 */
export async function relaneOutbox(dataDir: string, lanes: number): Promise<Relaned> {
  const setLanes = (count: number) => {
    writeManifest(dataDir, { ...readManifest(dataDir), lanes: count });
  };
  await finishRelane({ dataDir, setLanes });
  const { lanes: lanesBefore } = readManifest(dataDir);
  if (lanesBefore === lanes) {
    return { lanesBefore, lanes, summary: `${dataDir} has ${lanes} lanes already` };
  }
  const report = await relane({
    dataDir,
    lanesBefore,
    lanes,
    laneOf: (producerId) => laneOf(producerId, lanes),
    setLanes,
    clock: systemClock,
    crc32c,
  });
  const moved = `${grouped(report.unconfirmedMessages)} messages, ${grouped(report.windows)} windows`;
  const lost = `${grouped(report.undeliverable)} undeliverable, ${grouped(report.parked)} parked`;
  const summary = `${lanesBefore} lanes became ${lanes}, with ${moved} and ${lost}`;
  return { lanesBefore, lanes, ...report, summary };
}
