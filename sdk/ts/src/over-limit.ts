import { ErrorCode } from '../../../protocol/src/generated.ts';
import { produceFrameBytes } from './batch-writer.ts';
import { type MqpError, nodeError } from './errors.ts';
import type { Message } from './message.ts';
import type { NodeLimits } from './types.ts';

/** What the node would refuse is not sent: a frame above its limit would end the connection. */
export function overLimit(message: Message, limits: NodeLimits): MqpError | undefined {
  const headersBytes = message.headers?.length ?? 0;
  const bytesMax = message.topic.info?.messageBytesMax ?? limits.messageBytesMax;
  const bytes = message.keyBytes + headersBytes + message.valueBytes;
  let text: string | undefined;
  if (message.keyBytes > limits.keyBytesMax) text = `a key has at most ${limits.keyBytesMax} bytes`;
  if (headersBytes > limits.headersBytesMax) {
    text = `headers have at most ${limits.headersBytesMax} bytes`;
  }
  if (bytes > bytesMax || produceFrameBytes(message) > limits.frameBytesMax) {
    text = `the message has ${bytes} bytes, the limit is ${bytesMax}`;
  }
  return text === undefined ? undefined : nodeError(ErrorCode.MESSAGE_TOO_LARGE, text);
}
