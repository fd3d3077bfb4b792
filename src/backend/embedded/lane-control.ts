import { coded } from '../../base/errors.ts';
import type { GroupCommit, GroupOffsets } from '../../store/lane-store.ts';
import type { PartitionOffsets, TailRequest, TailResult } from '../port.ts';
import type { EmbeddedLog, EmbeddedTopic } from './embedded-log.ts';
import type { OwnGroup, OwnRecords, OwnResult } from './own-records.ts';

/** What the main thread asks of the log in the lane: plain data both ways, by name. */
export interface LogCalls {
  /**
   * Makes topics known; the first call names all there are.
   * @throws STORE_CORRUPT when the log has messages of another one
   */
  'log.setTopics': { args: { topics: readonly EmbeddedTopic[] }; result: undefined };
  'log.offsets': { args: { topic: string }; result: PartitionOffsets[] };
  /** The first offset written at a time or later. */
  'log.offsetAt': {
    args: { topic: string; partition: number; timeMs: number };
    result: number;
  };
  /** `tailId` is the caller's, for `log.endTail`. The result's records may be transferred. */
  'log.tail': { args: Omit<TailRequest, 'signal'> & { tailId: number }; result: TailResult };
  /** Ends the wait of a tail; nothing happens when it has ended. */
  'log.endTail': { args: { tailId: number }; result: undefined };
  /** Frees whole chunks before an offset. */
  'log.deleteRecords': {
    args: { topic: string; partition: number; beforeOffset: number };
    result: undefined;
  };
  /** One result for each group, once it is fsynced. */
  'log.publish': { args: { groups: readonly OwnGroup[] }; result: OwnResult[] };
  /** Fsynced. */
  'log.commit': { args: { group: string; commits: readonly GroupCommit[] }; result: undefined };
  'log.commits': { args: { group: string }; result: GroupCommit[] };
  'log.groups': { args: Record<string, never>; result: string[] };
  'log.dropGroup': { args: { group: string }; result: undefined };
}

/** One of {@link LogCalls}'s names. */
export type LogCall = keyof LogCalls;

/** The way to the lane that holds the log. Errors come back as `CodedError`s, code kept. */
export interface LaneControl {
  call<C extends LogCall>(name: C, args: LogCalls[C]['args']): Promise<LogCalls[C]['result']>;
}

/** The lane's side of {@link LaneControl}: `await handlers[name](args)`. */
export type LogHandlers = {
  readonly [C in LogCall]: (args: LogCalls[C]['args']) => Promise<LogCalls[C]['result']>;
};

/** What the calls are answered from. */
export interface LogHandlersOptions {
  readonly log: EmbeddedLog;
  readonly own: OwnRecords;
  readonly groups: GroupOffsets;
}

/** Answers the calls of the main thread. */
export function logHandlers({ log, own, groups }: LogHandlersOptions): LogHandlers {
  const waiting = new Map<number, AbortController>();
  return {
    'log.setTopics': async ({ topics }) => {
      for (const topic of topics) log.setTopic(topic);
      const { unnamed } = log;
      if (unnamed === undefined) return undefined;
      // The next topic would be given that number, and these messages with it.
      const words = 'lane 0: expected topics.json to name every topic that has messages';
      const hint = 'bring the newest topics.json back: an older copy does not know newer topics';
      throw coded('STORE_CORRUPT', `${words}, found messages of ${unnamed}`, { hint });
    },
    'log.offsets': async ({ topic }) => log.offsets(topic),
    'log.offsetAt': async ({ topic, partition, timeMs }) => log.offsetAt(topic, partition, timeMs),
    'log.deleteRecords': async ({ topic, partition, beforeOffset }) => {
      await log.deleteRecords(topic, partition, beforeOffset);
      return undefined;
    },
    'log.tail': async ({ tailId, ...request }) => {
      const abort = new AbortController();
      waiting.set(tailId, abort);
      try {
        return await log.read({ ...request, signal: abort.signal });
      } finally {
        waiting.delete(tailId);
      }
    },
    'log.endTail': async ({ tailId }) => {
      waiting.get(tailId)?.abort();
      return undefined;
    },
    'log.publish': ({ groups: records }) => own.add(records),
    'log.commit': async ({ group, commits }) => {
      await groups.commit(group, commits);
      return undefined;
    },
    'log.commits': ({ group }) => groups.read(group),
    'log.groups': () => groups.groups(),
    'log.dropGroup': async ({ group }) => {
      await groups.drop(group);
      return undefined;
    },
  };
}
