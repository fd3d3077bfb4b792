import type { NodeBackend, NodeBackendParts } from './node-backend.ts';

/** Opens the backend; Kafka is not waited for. What the other one needs is not loaded. */
export async function openNodeBackend(parts: NodeBackendParts): Promise<NodeBackend> {
  if (parts.manifest.backend === 'kafka') return (await import('./node-kafka.ts')).openKafka(parts);
  return (await import('./node-embedded.ts')).openEmbedded(parts);
}
