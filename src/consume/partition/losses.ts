import type { TopicPartition } from '../../backend/consumer-port.ts';
import type { ConsumeShared } from './consume-shared.ts';

/**
 * Why an unfinished message is no longer in the log: `retention` freed it, `compaction` dropped it
 * for a later one of its key, or its topic was made anew or `cut`.
 */
export type LossCause = 'retention' | 'compaction' | 'cut';

const words: Record<LossCause, string> = {
  retention: 'retention freed messages that the group had not finished',
  compaction: 'compaction dropped messages that the group had not finished',
  cut: 'the log is not the one that was read: its topic was made anew or cut; it is read from its start',
};

/** What a group can no longer be given: counted and said, whoever finds it. */
export class Losses {
  readonly #group: string;
  readonly #shared: Pick<ConsumeShared, 'log' | 'stats'>;

  constructor(group: string, shared: Pick<ConsumeShared, 'log' | 'stats'>) {
    this.#group = group;
    this.#shared = shared;
  }

  note({ topic, partition }: TopicPartition, cause: LossCause, messages: number): void {
    const { log, stats } = this.#shared;
    stats.lost[cause] += messages;
    log.warn({ group: this.#group, topic, partition, cause, messages }, words[cause]);
  }
}
