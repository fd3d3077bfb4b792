import { CLUSTERS, type ClusterStatus, USE_CLUSTER } from '../../../protocol/src/clusters.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import type { Handler, NodeContext } from '../handler.ts';
import { allows } from '../tokens.ts';

// [P-15.1] CLUSTERS: which cluster is used, and why.
export const clusters: Handler = (context, _session, frame) => {
  const { correlationId } = frame;
  CLUSTERS.decode(frame);
  const answer = failoverOf(context).report() as unknown as ClusterStatus;
  return (writer) => CLUSTERS.encodeAnswer(writer, correlationId, answer);
};

// [P-15.2] USE_CLUSTER: sets it by hand, over restarts.
export const useCluster: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const { use } = USE_CLUSTER.decode(frame);
  const failover = failoverOf(context);
  if (!allows(session.access, 'create', '')) {
    const words = 'choosing the cluster takes the right to create every topic';
    throw new ProtocolError(ErrorCode.NOT_AUTHORIZED, words);
  }
  await failover.use(use, session.access?.name ?? 'anyone');
  const answer = failover.report() as unknown as ClusterStatus;
  return (writer) => USE_CLUSTER.encodeAnswer(writer, correlationId, answer);
};

function failoverOf(context: NodeContext): NonNullable<NodeContext['failover']> {
  const { failover } = context;
  if (failover !== undefined) return failover;
  const words = 'this node has no backup cluster: set kafka.backup.brokers';
  throw new ProtocolError(ErrorCode.NOT_SUPPORTED, words);
}
