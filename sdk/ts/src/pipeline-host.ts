import type { MqpError } from './errors.ts';
import type { TopicHandle } from './message.ts';
import type { NodeLimits } from './types.ts';

/** What the pipeline needs from its client. */
export interface PipelineHost {
  /** There is something to write. */
  wake(): void;
  /** The topic is needed on the present connection; answer with topicOpened or topicRefused. */
  openTopic(topic: TopicHandle): void;
  /** The node waits for a sequence that this client no longer has: a new epoch must begin. */
  renewEpoch(reason: MqpError): void;
  /** Nothing is outstanding any more. */
  idle(): void;
}

/** Who this client is on the connection that has just been made. */
export interface Identity {
  readonly producerId: bigint;
  readonly epoch: number;
  readonly lastSequence: number;
  readonly limits: NodeLimits;
}
