import { EmbeddedBackend } from './backend/embedded/embedded-backend.ts';
import { EmbeddedConsumers } from './backend/embedded/embedded-consumers.ts';
import { EmbeddedInternalTopics } from './backend/embedded/embedded-internal-topics.ts';
import { EmbeddedPublisher } from './backend/embedded/embedded-publisher.ts';
import type { LaneControl } from './backend/embedded/lane-control.ts';
import { systemClock } from './base/clock.ts';
import type { NodeBackend, NodeBackendParts } from './node-backend.ts';

/** The log in this node's own store. */
export async function openEmbedded({
  config,
  catalog,
  lanes,
}: NodeBackendParts): Promise<NodeBackend> {
  const lane = {
    call: (name, args) => lanes.links[0]?.call('log', name, args),
  } as LaneControl;
  const { messageBytesMax } = config.limits;
  const { partitions } = config.topics;
  const backend = await EmbeddedBackend.open({ book: catalog, lane, partitions, messageBytesMax });
  const consumers = new EmbeddedConsumers({ backend, lane, clock: systemClock });
  const publisher = new EmbeddedPublisher({ book: catalog, lane });
  return {
    backend,
    clusters: [{ consumers, publisher, topics: new EmbeddedInternalTopics(backend) }],
    delayPorts: (config.delay.enabled ? [consumers] : []).map((ofRole) => ({
      consumers: ofRole,
      // Of its own, since each role ends its publisher itself.
      publisher: new EmbeddedPublisher({ book: catalog, lane }),
      topics: new EmbeddedInternalTopics(backend),
    })),
    check: async () => {},
    topicMissing: () => {},
    close: () => backend.close(),
  };
}
