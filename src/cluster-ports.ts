import type { ConsumerBackend } from './backend/consumer-port.ts';
import type { InternalTopics, Publisher } from './backend/publisher-port.ts';

/** What one cluster brings to consuming. */
export interface ClusterPorts {
  readonly consumers: ConsumerBackend;
  readonly publisher: Publisher;
  readonly topics: InternalTopics;
}
