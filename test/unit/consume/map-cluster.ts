import type { PublishRecord } from '../../../src/backend/publisher-port.ts';
import { AckMapStore } from '../../../src/consume/partition/ack-map-store.ts';
import { ACKS_PARTITIONS, ACKS_TOPIC } from '../../../src/consume/partition/acks-topic.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';

/** Messages of the one partition of a {@link mapCluster}. */
export const MESSAGES = 2_000;
const unknownTopic = { code: 'UNKNOWN_TOPIC', message: 'it is gone', retriable: true } as const;

/** A cluster whose maps' records wait, when `hold` is set. */
export class MapCluster extends MemoryCluster {
  mapHold: Promise<void> = Promise.resolve();
  tombstones = 0;
  /** Why the topic cannot be made. */
  mapRefusal: Error | undefined;

  store(): AckMapStore {
    const publish = async (records: readonly PublishRecord[]) => {
      await this.mapHold;
      return records.map(({ partition = 0, key, value }) => {
        if (!this.logs.has(`${ACKS_TOPIC}/0`)) return unknownTopic;
        if (value === null) this.tombstones++;
        this.append(ACKS_TOPIC, partition, { value: value ?? '', keyBytes: key });
        return { partition, offset: this.logOf(ACKS_TOPIC, partition).records.length - 1 };
      });
    };
    return new AckMapStore({
      backend: this,
      publisher: { cluster: 0, inFlightBytes: 0, publish, close: async () => {} },
      topics: {
        cluster: 0,
        ensure: async () => {
          if (this.mapRefusal !== undefined) throw this.mapRefusal;
          if (!this.logs.has(`${ACKS_TOPIC}/0`)) this.addTopic(ACKS_TOPIC, ACKS_PARTITIONS);
        },
      },
    });
  }
}

/** A topic of one partition with messages, and the topic of what is too large for a commit. */
export function mapCluster(): MapCluster {
  const cluster = new MapCluster();
  cluster.addTopic('t', 1);
  cluster.addTopic(ACKS_TOPIC, ACKS_PARTITIONS);
  cluster.append('t', 0, ...Array.from({ length: MESSAGES }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}
