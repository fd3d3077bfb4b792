import { ErrorCode } from './generated.ts';
import { checkKeys, integerField, mapsField, optionalInteger, stringField } from './map-fields.ts';
import type { MapMessage } from './map-message.ts';
import { mapMessage } from './map-message.ts';
import { ProtocolError } from './protocol-error.ts';

/** Who decides which cluster is used: the node, or a person. */
export type ClusterUse = 'auto' | 'primary' | 'backup';

/** One cluster, as the node sees it. */
export interface ClusterView {
  readonly cluster: 'primary' | 'backup';
  readonly circuit: 'closed' | 'open';
  /** Since when, in ms since 1970. */
  readonly sinceMs: number;
  readonly openings: number;
  /** Why it is open; empty while it is closed. */
  readonly why: string;
  /** While it is open and all is well: until it is used again. */
  readonly trustedInMs?: number | null;
  /** Topics whose own circuit is open. */
  readonly openTopics: readonly string[];
}

/** The answer to CLUSTERS and USE_CLUSTER. */
export interface ClusterStatus {
  readonly inUse: 'primary' | 'backup';
  readonly use: ClusterUse;
  readonly setBy?: string | null;
  readonly setAtMs?: number | null;
  readonly switches: number;
  readonly changedAtMs?: number | null;
  readonly clusters: readonly ClusterView[];
  readonly elsewhere: readonly { readonly topic: string; readonly cluster: string }[];
}

const uses = ['auto', 'primary', 'backup'];

function checkStatus(map: Parameters<typeof stringField>[0]): void {
  stringField(map, 'inUse');
  stringField(map, 'use');
  integerField(map, 'switches');
  optionalInteger(map, 'setAtMs');
  for (const cluster of mapsField(map, 'clusters')) {
    stringField(cluster, 'cluster');
    stringField(cluster, 'circuit');
  }
  for (const topic of mapsField(map, 'elsewhere')) stringField(topic, 'topic');
}

// [P-15.1] clusters := map {}    answer := map { inUse, use, setBy?, setAtMs?, switches,
//          changedAtMs?, clusters, elsewhere }, as in the interfaces above

export const CLUSTERS: MapMessage<Record<string, never>, ClusterStatus> = mapMessage({
  name: 'CLUSTERS',
  keys: [],
  request: (map) => {
    checkKeys(map, [], 'CLUSTERS');
    return {};
  },
  answer: checkStatus,
});

// [P-15.2] use-cluster := map { use: "auto" | "primary" | "backup" }    answer := as CLUSTERS

export const USE_CLUSTER: MapMessage<{ readonly use: ClusterUse }, ClusterStatus> = mapMessage({
  name: 'USE_CLUSTER',
  keys: ['use'],
  request: (map) => {
    const use = stringField(map, 'use');
    if (!uses.includes(use)) {
      throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, `use is one of ${uses.join(', ')}`);
    }
    return { use: use as ClusterUse };
  },
  answer: checkStatus,
});
