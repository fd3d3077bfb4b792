import type { Clock } from './base/clock.ts';
import { type CodedError, coded } from './base/errors.ts';
import { readManifest, writeManifest } from './node-manifest.ts';

/** How long a start waits for a cluster to say which one it is, in ms. */
const ASK_MS = 1_500;

/** A cluster that says which one it is. */
interface Named {
  /** Kafka's own id of the cluster. @throws BACKEND_UNAVAILABLE */
  clusterId(): Promise<string>;
}

/** What {@link checkCluster} needs. */
export interface ClusterCheck {
  readonly config: { readonly dataDir: string };
  readonly backend: Named;
  readonly backup?: Named;
  /** Messages that wait to be sent. */
  readonly waiting: number;
  readonly clock: Clock;
}

/**
 * Holds the clusters that answer against those the data folder was used with, and notes them. What
 * waits for one cluster must not go to another, whose topics may have the same names. A cluster
 * that is away cannot be asked: the node starts, as it does in an outage.
 *
 * @throws DATA_DIR_REFUSED when messages wait for another cluster
 * @throws CONFIG_INVALID when the backup is the primary by another address
 */
export async function checkCluster(check: ClusterCheck): Promise<void> {
  const { waiting, backend, backup, clock } = check;
  const { dataDir } = check.config;
  const [found, other] = await Promise.all([
    withinTime(backend, clock),
    backup === undefined ? undefined : withinTime(backup, clock),
  ]);
  const known = readManifest(dataDir).clusters?.primary;
  if (found !== undefined && found !== known) {
    if (known !== undefined && waiting > 0) {
      throw coded(
        'DATA_DIR_REFUSED',
        `${waiting} message(s) wait for the cluster ${known}, and ${found} answers`,
        { hint: 'name the brokers of the first, or give another --data-dir' },
      );
    }
    noteCluster(dataDir, { primary: found });
  }
  if (other !== undefined) noteBackup(dataDir, other);
}

/** Notes the id of the backup. @throws CONFIG_INVALID when it is the primary's */
export function noteBackup(dataDir: string, id: string): void {
  const known = readManifest(dataDir).clusters;
  if (known?.primary === id) throw sameCluster(id);
  if (known?.backup !== id) noteCluster(dataDir, { backup: id });
}

function noteCluster(dataDir: string, ids: { primary?: string; backup?: string }): void {
  const manifest = readManifest(dataDir);
  writeManifest(dataDir, { ...manifest, clusters: { ...manifest.clusters, ...ids } });
}

function sameCluster(id: string): CodedError {
  return coded(
    'CONFIG_INVALID',
    `kafka.backup.brokers: they answer as the cluster ${id}, which is the primary`,
    { hint: 'name the brokers of a second cluster, or leave kafka.backup.brokers out' },
  );
}

function withinTime(cluster: Named, clock: Clock): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(() => resolve(undefined), ASK_MS);
    cluster
      .clusterId()
      .then(resolve, () => resolve(undefined))
      .finally(() => timer.cancel());
  });
}
