import { CodedError, coded, messageOf } from '../../base/errors.ts';

/** Kafka's names for what went wrong, as our codes. What is not here is the backend's trouble. */
const codes: Readonly<Record<string, string>> = {
  TOPIC_ALREADY_EXISTS: 'TOPIC_EXISTS',
  UNKNOWN_TOPIC_OR_PARTITION: 'UNKNOWN_TOPIC',
  INVALID_TOPIC_EXCEPTION: 'INVALID_TOPIC',
  TOPIC_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  CLUSTER_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  INVALID_PARTITIONS: 'INVALID_ARGUMENT',
  INVALID_REPLICATION_FACTOR: 'INVALID_ARGUMENT',
  INVALID_REPLICA_ASSIGNMENT: 'INVALID_ARGUMENT',
  INVALID_CONFIG: 'INVALID_ARGUMENT',
  INVALID_REQUEST: 'INVALID_ARGUMENT',
  POLICY_VIOLATION: 'INVALID_ARGUMENT',
  GROUP_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  NON_EMPTY_GROUP: 'GROUP_CONFLICT',
  GROUP_ID_NOT_FOUND: 'UNKNOWN_GROUP',
};

/**
 * Codes of librdkafka's consumer (`rd_kafka_resp_err_t`), as ours. Not _UNKNOWN_PARTITION: a broker
 * that has just learnt of a topic, or begun, may tell of a part of it, so that is tried again.
 */
const readCodes: ReadonlyMap<number, string> = new Map([
  [1, 'OFFSET_OUT_OF_RANGE'],
  [-140, 'OFFSET_OUT_OF_RANGE'],
  [3, 'UNKNOWN_TOPIC'],
  [-188, 'UNKNOWN_TOPIC'],
  [29, 'NOT_AUTHORIZED'],
  [30, 'NOT_AUTHORIZED'],
]);

/** Codes of a group's member: what is fenced, and what {@link readCodes} says. */
const groupCodes: ReadonlyMap<number, string> = new Map([
  ...readCodes,
  [-190, 'UNKNOWN_PARTITION'],
  [12, 'INVALID_ARGUMENT'],
  [22, 'FENCED'],
  [25, 'FENCED'],
  [82, 'FENCED'],
  [-144, 'FENCED'],
]);

/** Our code for an error of the native member. */
export function groupErrorCode(code: number | undefined): string {
  return (code === undefined ? undefined : groupCodes.get(code)) ?? 'BACKEND_UNAVAILABLE';
}

/** A rejection of the native member as ours. */
export function groupError(error: unknown, doing: string): CodedError {
  if (error instanceof CodedError) return error;
  const code = groupErrorCode(kafkaCodeOf(error));
  return coded(code, `Kafka did not ${doing}: ${messageOf(error)}`, {
    cause: error,
    ...(code === 'BACKEND_UNAVAILABLE' ? { retryAfterMs: 1000 } : {}),
  });
}

/** An error of kafkajs as ours; `doing` says what was tried, such as `create topic orders`. */
export function adminError(error: unknown, doing: string): CodedError {
  if (error instanceof CodedError) return error;
  const inner = innermost(error);
  const code = typeof inner.type === 'string' ? codes[inner.type] : undefined;
  return coded(code ?? 'BACKEND_UNAVAILABLE', `Kafka did not ${doing}: ${messageOf(inner.error)}`, {
    cause: error,
    ...(code === undefined ? { retryAfterMs: 1000 } : {}),
  });
}

/** An error of the native reader as ours. */
export function readError(error: unknown, doing: string): CodedError {
  if (error instanceof CodedError) return error;
  const number = kafkaCodeOf(error);
  const code = number === undefined ? undefined : readCodes.get(number);
  return coded(code ?? 'BACKEND_UNAVAILABLE', `Kafka did not ${doing}: ${messageOf(error)}`, {
    cause: error,
    ...(code === undefined ? { retryAfterMs: 1000 } : {}),
  });
}

/** librdkafka's code in an error of the addon. */
export function kafkaCodeOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'kafkaCode' in error ? error.kafkaCode : undefined;
  return typeof code === 'number' ? code : undefined;
}

/** The broker's own name for what went wrong, out of kafkajs's wrappings. */
export function brokerErrorType(error: unknown): string | undefined {
  const { type } = innermost(error);
  return typeof type === 'string' ? type : undefined;
}

interface Inner {
  readonly error: unknown;
  readonly type: unknown;
}

/** kafkajs wraps: retries exceeded around aggregates around what the broker said. */
function innermost(error: unknown): Inner {
  let at = error;
  for (let depth = 0; depth < 5; depth++) {
    if (typeof at !== 'object' || at === null) break;
    if ('type' in at && typeof at.type === 'string') return { error: at, type: at.type };
    if ('errors' in at && Array.isArray(at.errors) && at.errors.length > 0) at = at.errors[0];
    else if ('groups' in at && Array.isArray(at.groups) && at.groups.length > 0)
      at = at.groups[0]?.error;
    else if ('cause' in at && at.cause !== undefined) at = at.cause;
    else break;
  }
  return { error: at, type: undefined };
}
