import { ErrorCode, PROTOCOL_LIMIT } from './generated.ts';
import { ProtocolError } from './protocol-error.ts';

const NAME = /^[A-Za-z0-9._-]+$/;

/**
 * [P-12.1] A group's name is part of the names of its topics for retries and dead letters, so it
 * keeps to their letters.
 * @throws ProtocolError INVALID_ARGUMENT
 */
export function checkGroupName(name: string): string {
  const good = name.length <= PROTOCOL_LIMIT.groupNameBytesMax && NAME.test(name);
  if (!good || name.startsWith('__')) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      `a group's name has 1 to ${PROTOCOL_LIMIT.groupNameBytesMax} of A-Za-z0-9._-` +
        ' and does not begin with __',
    );
  }
  return name;
}
