import type { Frame } from '../../protocol/src/frame.ts';
import type { FrameWriter } from '../../protocol/src/frame-writer.ts';
import type { Backend } from '../backend/port.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { DeadLetterDesk } from '../consume/dead-letters/dead-letter-desk.ts';
import type { ConsumeEngine } from '../consume/engine.ts';
import type { GroupAdmin } from '../consume/group-admin.ts';
import type { DelayDesk } from '../delay/delay-desk.ts';
import type { SeriesDesk } from '../delay/series-desk.ts';
import type { LaneLink } from '../lanes/lane-link.ts';
import type { Failover } from '../produce/failover/failover.ts';
import type { NodeTopics } from './node-topics.ts';
import type { Session } from './session.ts';
import type { Access } from './tokens.ts';

/** What the handlers of requests share. */
export interface NodeContext {
  readonly nodeId: string;
  readonly nodeVersion: string;
  readonly backend: Backend;
  readonly topics: NodeTopics;
  readonly lanes: readonly LaneLink[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Delayed messages, over all clusters; undefined: this node does not have the role. */
  readonly delay: DelayDesk | undefined;
  /** Recurring messages; undefined as `delay` is. */
  readonly series: SeriesDesk | undefined;
  readonly limits: {
    readonly frameBytesMax: number;
    readonly messageBytesMax: number;
    readonly keyBytesMax: number;
    readonly headersBytesMax: number;
    readonly topicsPerConnectionMax: number;
    readonly inFlightMessagesMax: number;
    readonly inFlightBytesMax: number;
    readonly tailBytesMax: number;
    readonly idleTimeoutMs: number;
  };
  /** The levels that a message can be answered at here. */
  readonly ackLevels: readonly string[];
  /** Says who shows this proof. @throws AUTHENTICATION_FAILED */
  authenticate(mechanism: number, proof: Uint8Array): Access;
  /** The session that is fenced by a newer one, to be closed. */
  fence(session: number): void;
  status(): Record<string, unknown>;
  /** Present when there is a backup cluster. */
  readonly failover?: Pick<Failover, 'report' | 'use'>;
  /** What operators do with dead letters. */
  readonly deadLetters: DeadLetterDesk;
  /** Groups and leases. */
  readonly consume: ConsumeEngine;
  readonly groups: GroupAdmin;
}

/**
 * Answers one opcode. The frame is *borrowed* until the first await: decode before it. A
 * `CodedError` or `ProtocolError` that it throws becomes the failed answer.
 *
 * @returns the answer, written by `write`
 */
export type Handler = (
  context: NodeContext,
  session: Session,
  frame: Frame,
) => Promise<WriteAnswer> | WriteAnswer;

/** Writes the whole answer frame. */
export type WriteAnswer = (writer: FrameWriter) => void;
