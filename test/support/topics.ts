import { randomBytes } from 'node:crypto';

/**
 * A topic name no other test or run uses: `orders-3f9a1c20`. Tests share one broker and never a
 * topic.
 */
export function uniqueTopic(label = 'topic'): string {
  return `${label}-${randomBytes(4).toString('hex')}`;
}
