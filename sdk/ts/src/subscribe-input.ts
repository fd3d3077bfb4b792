import type { ConsumeStart, Subscribe } from '../../../protocol/src/subscribe.ts';
import type { SubscribeOptions } from './consume-types.ts';
import { MqpError } from './errors.ts';

const CREDIT_MESSAGES = 256;
const CREDIT_BYTES = 8 * 1024 * 1024;

/** The request for these options; the node refuses what is not allowed in it. */
export function subscribeOf(
  options: SubscribeOptions,
): Subscribe & { readonly creditMessages: number } {
  const { group, topics, prefix, mode, leaseMs, dedupe } = options;
  if ((topics === undefined) === (prefix === undefined)) {
    throw new MqpError('INVALID_ARGUMENT', 'a subscription has either topics or a prefix');
  }
  const { creditMessages = CREDIT_MESSAGES, creditBytes = CREDIT_BYTES } = options;
  const start = startOf(options.start);
  return {
    group,
    topics,
    prefix,
    mode,
    creditMessages,
    creditBytes,
    leaseMs,
    start,
    ...(dedupe === undefined ? {} : { dedupe }),
  };
}

function startOf(start: SubscribeOptions['start']): ConsumeStart | undefined {
  return start instanceof Date ? { timeMs: start.getTime() } : start;
}
