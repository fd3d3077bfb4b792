import { coded, codeOf, messageOf } from '../base/errors.ts';
import type { Backend, TopicDescription } from './port.ts';

/**
 * What a client that opens a topic gets: the topic, made when there is none and `autoCreate` says
 * so.
 *
 * @throws UNKNOWN_TOPIC when there is none; TOPIC_UNCONFIRMED (retriable) when the backend cannot
 * be asked and the node has never seen the topic; INVALID_TOPIC, NOT_AUTHORIZED, INVALID_ARGUMENT.
 */
export async function openTopic(
  backend: Backend,
  name: string,
  options: { readonly autoCreate: boolean },
): Promise<TopicDescription> {
  try {
    const found = await backend.describeTopic(name);
    if (found !== undefined) return found;
    if (options.autoCreate) return await createOrFind(backend, name);
  } catch (error) {
    if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
    throw coded(
      'TOPIC_UNCONFIRMED',
      `whether topic ${name} exists cannot be asked now: ${messageOf(error)}`,
      { cause: error, retryAfterMs: 1000 },
    );
  }
  throw coded('UNKNOWN_TOPIC', `there is no topic ${name}`, {
    hint: 'Create it with "mqproxy topic create". Topics that are read are never made by themselves.',
  });
}

async function createOrFind(backend: Backend, name: string): Promise<TopicDescription> {
  try {
    return await backend.createTopic({ name });
  } catch (error) {
    if (codeOf(error) !== 'TOPIC_EXISTS') throw error;
  }
  // Another connection or node was faster; it may not be visible everywhere yet.
  const found = await backend.describeTopic(name);
  if (found !== undefined) return found;
  throw coded('TOPIC_UNCONFIRMED', `topic ${name} is being created`, { retryAfterMs: 100 });
}
