import { ErrorCode } from '../../../protocol/src/generated.ts';
import { ownerIn } from '../../../protocol/src/owner-words.ts';
import { errorName, errorRow, ProtocolError } from '../../../protocol/src/protocol-error.ts';

/** What a client itself may say, beside the codes of the protocol. */
export type ClientErrorCode =
  /** `bufferBytesMax` is reached; retriable once earlier messages are answered. */
  | 'BUFFER_FULL'
  /** The deadline passed before any byte left: not delivered. */
  | 'TIMED_OUT'
  /** The signal fired before any byte left: not delivered. */
  | 'ABORTED'
  /** The client was closed before any byte left: not delivered. */
  | 'CLOSED'
  /** No server could be reached. */
  | 'CONNECT_FAILED'
  /** The connection was lost under a control request. */
  | 'DISCONNECTED';

export interface MqpErrorDetails {
  readonly isRetriable?: boolean;
  readonly isFatal?: boolean;
  /** The id of the message, when it had one. */
  readonly id?: string;
  /** What the node asks to wait before the next try, in ms. */
  readonly retryAfterMs?: number;
  readonly ownerNodeId?: string | undefined;
  readonly cause?: unknown;
}

/** Every error of the client. `code` is a code of the protocol or a {@link ClientErrorCode}. */
export class MqpError extends Error {
  override readonly name = 'MqpError';
  readonly code: string;
  /** The same call may succeed later. For UNKNOWN: it may also have succeeded already. */
  readonly isRetriable: boolean;
  /** The node closed the connection for it. */
  readonly isFatal: boolean;
  readonly id: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Of NOT_OWNER: the id of the node that owns it, where the node that was asked found out. */
  readonly ownerNodeId: string | undefined;

  constructor(code: string, message: string, details: MqpErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.isRetriable = details.isRetriable ?? false;
    this.isFatal = details.isFatal ?? false;
    this.id = details.id;
    this.retryAfterMs = details.retryAfterMs;
    this.ownerNodeId = details.ownerNodeId;
  }
}

/** Whether the same request may succeed later; a code this client does not know is final. */
export function isRetriable(code: number): boolean {
  return errorRow(code)?.retriable ?? false;
}

/** An error that the node gave, or would have given. Without a text the table's meaning stands. */
export function nodeError(code: number, text: string, details: MqpErrorDetails = {}): MqpError {
  const row = errorRow(code);
  return new MqpError(errorName(code), text === '' ? (row?.meaning ?? '') : text, {
    isRetriable: row?.retriable,
    isFatal: row?.fatal,
    ...details,
  });
}

/** The typed form of an error that the codec read from the node. */
export function fromNode(error: ProtocolError): MqpError {
  const { code, message, retryAfterMs } = error;
  const ownerNodeId = code === ErrorCode.NOT_OWNER ? ownerIn(message) : undefined;
  return nodeError(code, message, { retryAfterMs, ownerNodeId });
}

/** The same for what the codec refused on this side, such as an invalid topic name. */
export function toMqpError(error: unknown): MqpError {
  if (error instanceof MqpError) return error;
  if (error instanceof ProtocolError)
    return nodeError(error.code, error.message, { isFatal: false });
  const text = error instanceof Error ? error.message : String(error);
  return new MqpError('INTERNAL', text, { cause: error });
}

/**
 * Everything that ended a connection, in one type; it is retriable unless the node said otherwise.
 */
export function connectionError(code: ClientErrorCode, cause: unknown): MqpError {
  if (cause instanceof MqpError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  return new MqpError(code, text, { isRetriable: true, cause });
}
