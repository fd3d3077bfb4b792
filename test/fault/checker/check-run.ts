import { cpSync, createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { cacheDir } from '../../support/repo.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  type CheckCounts,
  type DumpRecord,
  type Enough,
  HistoryChecker,
} from './history-checker.ts';
import type { Payload } from './payload.ts';
import type { ResendLedger } from './resend-ledger.ts';
import type { Verdicts } from './verdicts.ts';

/** What a run left behind. */
export interface RunEvidence {
  /** The path of its history. */
  readonly history: string;
  /** Data folders of its nodes: notes of resends are read there; kept after a finding. */
  readonly dataDirs?: readonly string[];
  /** Notes that were gathered while it ran, in place of those in the folders. */
  readonly ledger?: ResendLedger;
  /** Gives every record of every cluster. */
  readonly dump: (onRecord: (record: DumpRecord) => void) => Promise<void>;
  /** Gives every message that the node keeps for good. */
  readonly held?: (onHeld: (id: string, payload: Payload) => void) => Promise<void>;
  readonly enough?: Enough;
}

/** What came of it. */
export interface RunResult {
  readonly counts: CheckCounts;
  readonly verdicts: Verdicts;
}

/**
 * Checks a run. When something is found, history, dump and data folders are kept below `.cache/`,
 * and the findings say where.
 */
export async function checkRun(evidence: RunEvidence): Promise<RunResult> {
  const { history, dataDirs = [], ledger, dump, held, enough } = evidence;
  const checker = new HistoryChecker(ledger);
  await checker.readHistory(history);
  if (ledger === undefined) for (const folder of dataDirs) checker.resends.update(folder);
  const path = join(tempDir('mqproxy-dump-'), 'dump');
  const file = createWriteStream(path);
  await dump((record) => {
    const { cluster, topic, partition, offset, id, node } = record;
    file.write(`${cluster} ${topic} ${partition} ${offset} ${id} ${node}\n`);
    checker.found(record);
  });
  await held?.((id, payload) => checker.held(id, payload));
  file.end();
  await finished(file);
  const verdicts = checker.verdicts(enough);
  if (!verdicts.isClean) verdicts.keptIn = keep([history, path, ...dataDirs]);
  return { counts: checker.counts(), verdicts };
}

/** Checks a run in which nothing bad may be found. @throws AssertionError with the findings */
export async function assertRun(evidence: RunEvidence): Promise<CheckCounts> {
  const { counts, verdicts } = await checkRun(evidence);
  verdicts.assertClean();
  return counts;
}

/** Copies files and folders of a bad run to where they stay; answers where that is. */
export function keep(paths: readonly string[]): string {
  const folder = join(cacheDir, 'failed-runs', `${new Date().toISOString().replaceAll(':', '-')}`);
  mkdirSync(folder, { recursive: true });
  paths.forEach((path, i) => {
    const name = `${i}-${path.split('/').at(-1)}`;
    if (existsSync(path)) cpSync(path, join(folder, name), { recursive: true });
  });
  return folder;
}
