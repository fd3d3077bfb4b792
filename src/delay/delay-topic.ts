import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { InternalTopicSpec } from '../backend/publisher-port.ts';

/** Most that `mq-to` and the envelope add to a message, in bytes. */
const SIDE_BYTES = 128 * 1024;

/** Where delayed messages wait, on each cluster. */
export const delayTopic = '__mqproxy.delay';
/** The group whose membership shares the partitions among nodes; it commits nothing. */
export const delayGroup = '__mqproxy.delay';

/** How its partitions are read: bytes of each that are wanted at a time, and fetched ahead. */
export const delayReading = {
  creditBytes: 2 * 1024 * 1024,
  // librdkafka adds half a KiB to each record, and most are smaller: with 8 MiB of each partition
  // a node that made a lost index anew held half a GiB of them.
  aheadBytesMax: 1024 * 1024,
} as const;

/** How the delay log must be: all of it is kept that no tombstone ended. */
export function delayTopicSpec(messageBytesMax: number): InternalTopicSpec {
  return {
    name: delayTopic,
    partitions: DELAY_PARTITIONS,
    replicationFactor: 'auto',
    config: {
      'cleanup.policy': 'compact',
      // A node that takes over reads tombstones that came while it read; a day is plenty.
      'delete.retention.ms': '86400000',
      // What fired while it was replaced is written again; until then the cleaner must wait.
      'min.compaction.lag.ms': '60000',
      'max.message.bytes': String(messageBytesMax + SIDE_BYTES),
    },
    // The cleaner leaves the last segment alone: with Kafka's 1 GiB and seven days what has fired
    // would stay that long, and a lost index would be made anew from all of it.
    madeWith: {
      'segment.bytes': String(16 * 1024 * 1024),
      'min.cleanable.dirty.ratio': '0.2',
      'max.compaction.lag.ms': '3600000',
    },
  };
}
