import { formatMessageId } from '../../protocol/src/message-id.ts';
import { coded } from '../base/errors.ts';
import type { AsideAnswer, AsideCall } from '../lanes/lane-calls.ts';
import type { AsideEntry, AsideLog } from '../store/lane-store.ts';

const READ_BYTES = 512 * 1024;
const STEP = 500;

/** What {@link answerAside} needs of its lane. */
export interface AsideRoom {
  readonly aside: AsideLog;
  /** Takes up what was put into the parked log for a topic, and tries it now. */
  retryParked(topic: string): void;
}

/** Answers what the node is asked of a lane's logs beside the outbox. */
export async function answerAside(room: AsideRoom, call: AsideCall): Promise<AsideAnswer> {
  const { aside } = room;
  const { log, topic } = call;
  const names = topic === undefined ? [...aside.topics(log).keys()] : [topic];
  if (call.does === 'topics') {
    const topics = names.flatMap((name) => {
      const count = aside.topics(log).get(name);
      return count === undefined ? [] : [{ topic: name, ...count }];
    });
    return { topics };
  }
  if (call.does === 'read') return read(aside, call);
  let count = 0;
  for (const name of names) count += aside.topics(log).get(name)?.messages ?? 0;
  if (call.does === 'retry') {
    const tried = new Set(names);
    if (log === 'undeliverable') {
      await each(aside, log, topic, (some) => {
        // Also of topics that came into the log meanwhile.
        for (const entry of some) tried.add(entry.topic);
        return aside.move(log, 'parked', some);
      });
    }
    const parked = aside.topics('parked');
    for (const name of tried) if (parked.has(name)) room.retryParked(name);
    return { count };
  }
  if (log === 'parked') {
    const words = 'parked messages were answered and will be delivered: they are not discarded';
    throw coded('NOT_SUPPORTED', words);
  }
  await each(aside, log, topic, (some) => aside.remove(log, some));
  return { count };
}

/** Hands over the entries of a topic, or of all, some at a time, in one walk over the log. */
async function each(
  aside: AsideLog,
  log: AsideCall['log'],
  topic: string | undefined,
  take: (entries: readonly AsideEntry[]) => Promise<unknown>,
): Promise<void> {
  let entries: AsideEntry[] = [];
  const from = topic === undefined ? undefined : { topic, sequence: 0 };
  for await (const entry of aside.entries(log, from)) {
    entries.push(entry);
    if (entries.length < STEP) continue;
    await take(entries);
    entries = [];
  }
  if (entries.length > 0) await take(entries);
}

async function read(aside: AsideLog, call: AsideCall): Promise<AsideAnswer> {
  const { log, topic = '', sequence = 0, messagesMax = 1 } = call;
  const messages: AsideAnswer['messages'] = [];
  let bytes = 0;
  for await (const entry of aside.entries(log, { topic, sequence })) {
    if (messages.length >= messagesMax || bytes >= READ_BYTES) {
      return { messages, next: entry.sequence };
    }
    const { producerId, epoch, producerSequence, acceptedMs, failedMs, code, reason } = entry;
    messages.push({
      id: formatMessageId({ producerId, epoch, sequence: producerSequence }),
      topic,
      acceptedMs,
      asideMs: failedMs,
      code,
      reason,
      flags: entry.flags,
      body: Uint8Array.from(entry.body),
    });
    bytes += entry.body.length;
  }
  return { messages };
}
