import { ErrorCode } from '../../../protocol/src/generated.ts';
import {
  decodeHello,
  encodeHelloAnswer,
  type Hello,
  negotiateVersion,
} from '../../../protocol/src/hello.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import { randomU64 } from '../../base/random.ts';
import type { LaneLink } from '../../lanes/lane-link.ts';
import type { Handler, NodeContext } from '../handler.ts';
import type { Session } from '../session.ts';

/** What this node can do beyond the protocol's core. */
const FEATURES = ['produce-batch', 'tail', 'status'];
const DELAYS = ['delay', 'series'];

// [P-4.1] The first frame: version, producer and proof; the session is bound to a lane.
export const hello: Handler = async (context, session, frame) => {
  const { correlationId } = frame;
  const asked = decodeHello(frame);
  const version = negotiateVersion(asked);
  session.access = context.authenticate(asked.authMechanism, asked.auth);
  session.name = asked.name;
  const opened = await bind(context, session, asked);
  if (opened.refused !== undefined) throw refusal(opened.refused, opened.producerId);
  session.lane = opened.lane;
  session.producerId = opened.producerId;
  session.epoch = asked.epoch;
  if (opened.replaces !== undefined) context.fence(opened.replaces);
  const { nodeId, nodeVersion, backend, limits, clock } = context;
  return (writer) => {
    encodeHelloAnswer(writer, correlationId, {
      version,
      producerId: opened.producerId,
      epoch: asked.epoch,
      lastSequence: opened.lastSequence,
      nodeId,
      nodeVersion,
      backend: backend.kind,
      features: featuresOf(context),
      limits,
      serverTimeMs: clock.now(),
    });
  };
};

function refusal(why: 'fenced' | 'foreign', producerId: bigint): ProtocolError {
  const id = producerId.toString(16);
  return why === 'fenced'
    ? new ProtocolError(ErrorCode.FENCED, `a newer epoch of producer ${id} is connected`)
    : new ProtocolError(ErrorCode.NOT_AUTHORIZED, `producer ${id} is another token's`);
}

function featuresOf(context: NodeContext): string[] {
  const consumes = context.consume.isOpen ? ['consume'] : [];
  return [...FEATURES, ...consumes, ...(context.delay?.isOpen === true ? DELAYS : [])];
}

interface Bound {
  readonly lane: LaneLink;
  readonly producerId: bigint;
  readonly refused?: 'fenced' | 'foreign';
  readonly lastSequence: number;
  readonly replaces: number | undefined;
}

async function bind(context: NodeContext, session: Session, asked: Hello): Promise<Bound> {
  const producerId = asked.producerId === 0n ? randomU64(context.random) : asked.producerId;
  const lane = context.lanes[laneOf(producerId, context.lanes.length)];
  if (lane === undefined) throw new ProtocolError(ErrorCode.INTERNAL, 'this node has no lane');
  const ordered = !asked.unordered;
  const opened = await lane.call('openSession', {
    session: session.id,
    producerId,
    epoch: asked.epoch,
    ordered,
    owner: session.access?.name ?? '',
  });
  return { lane, producerId, ...opened };
}

/** The lane that a producer is bound to for as long as the lane count stays. */
export function laneOf(producerId: bigint, lanes: number): number {
  // Fibonacci hashing: ids that a client counts up by hand spread as well as random ones.
  const mixed = BigInt.asUintN(64, producerId * 0x9e37_79b9_7f4a_7c15n) >> 32n;
  return Number(mixed % BigInt(lanes));
}
