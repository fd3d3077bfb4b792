import { createHash } from 'node:crypto';

/** Only the beginning of a reason tells errors apart; the rest is stacks and payloads. */
const LENGTH_MAX = 512;

/**
 * What makes two failures the same one: the first line of the reason without what differs from
 * message to message (ids, numbers, addresses, quoted words).
 *
 * @returns 16 hex digits
 */
export function fingerprintOf(reason: string, cause: string): string {
  const [line = ''] = reason.trim().split('\n', 1);
  const shape = line
    .slice(0, LENGTH_MAX)
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '?')
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '#')
    .replace(/\b0x[0-9a-f]+\b/gi, '#')
    .replace(/\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b/gi, '#')
    .replace(/\d+/g, '#')
    .replace(/\s+/g, ' ')
    .trim();
  return createHash('sha256')
    .update(shape === '' ? `cause:${cause}` : shape)
    .digest('hex')
    .slice(0, 16);
}
