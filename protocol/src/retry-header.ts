import { ErrorCode } from './generated.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { integerField, stringField } from './map-fields.ts';
import { ProtocolError } from './protocol-error.ts';

/** The record header of a message that waits for its next delivery outside of its topic. */
export const RETRY_HEADER_NAME = 'mq-retry';

/** What the `mq-retry` header says. Times are unix milliseconds. */
export interface RetryHeader {
  /** The group that failed the message, and alone reads it here. */
  readonly group: string;
  /** Deliveries so far. */
  readonly attempts: number;
  /** Where the message was first. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The timestamp it had there. */
  readonly timestampMs: number;
  readonly firstFailureMs: number;
}

const VERSION = 1;

// [P-8.4] mq-retry := map { version (= 1), group, attempts, topic, partition, offset, timestampMs,
//                           firstFailureMs }

/** *Owned* by the caller. */
export function encodeRetryHeader(header: RetryHeader): Buffer {
  return encodeMap({ version: VERSION, ...header });
}

/**
 * Unknown keys are ignored, since a newer node may say more.
 * @throws ProtocolError when the bytes are not ours
 */
export function decodeRetryHeader(bytes: Buffer): RetryHeader {
  const map = decodeMap(bytes, 'mq-retry header');
  const version = integerField(map, 'version', 1);
  if (version !== VERSION) {
    throw new ProtocolError(ErrorCode.UNSUPPORTED_VERSION, `mq-retry header: version ${version}`);
  }
  return {
    group: stringField(map, 'group'),
    attempts: integerField(map, 'attempts'),
    topic: stringField(map, 'topic'),
    partition: integerField(map, 'partition'),
    offset: integerField(map, 'offset'),
    timestampMs: integerField(map, 'timestampMs'),
    firstFailureMs: integerField(map, 'firstFailureMs'),
  };
}
