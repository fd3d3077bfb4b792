import type { ConsumerBackend, TopicPartition } from '../backend/consumer-port.ts';
import type { PartitionOffsets } from '../backend/port.ts';
import type { Losses } from './losses.ts';
import type { ConsumePartition } from './partition.ts';

/** What {@link Overtaken} asks of the membership. */
export interface OvertakenHooks {
  readonly backend: Pick<ConsumerBackend, 'offsets'>;
  readonly losses: Losses;
  partitionOf(place: TopicPartition): ConsumePartition | undefined;
  /** What was seen of a partition says nothing about what is in it now. */
  forgetIds(topic: string, partition: number): void;
  /** Begins anew at an offset, with nothing acked. */
  reset(topic: string, partition: number, offset: number): Promise<unknown>;
  /** The window's position has moved: reads on from there. */
  goOn(partition: ConsumePartition): void;
}

/** What was to be read next is not in the log: that is counted, said, and passed over. */
export class Overtaken {
  readonly #hooks: OvertakenHooks;

  constructor(hooks: OvertakenHooks) {
    this.#hooks = hooks;
  }

  /** @returns false when the cluster does not tell of that partition: look again */
  async look(place: TopicPartition): Promise<boolean> {
    const { backend, partitionOf, losses, goOn } = this.#hooks;
    const spans = await backend.offsets(place.topic);
    const span = spans.find(({ partition }) => partition === place.partition);
    const partition = partitionOf(place);
    if (partition === undefined) return true;
    if (span === undefined) return false;
    const { window } = partition;
    if (window.nextOffset > span.endOffset) {
      await this.#cut(partition, span);
      return true;
    }
    const gone = Math.max(0, span.startOffset - window.nextOffset);
    const known = gone === 0 ? 0 : window.merger.confirm(window.nextOffset, gone);
    losses.note(partition, 'retention', known);
    window.jump(span.startOffset);
    goOn(partition);
    return true;
  }

  /**
   * The topic was made anew, or cut. Where, nobody knows: what was written since may lie at any
   * offset, also below the floor. So all that is there is delivered, and no id is taken for that of
   * a copy: its first one may have been unfinished.
   */
  async #cut(partition: ConsumePartition, span: PartitionOffsets): Promise<void> {
    const { losses, forgetIds, reset } = this.#hooks;
    const { topic, partition: number, window } = partition;
    const end = Math.max(window.nextOffset, partition.endOffset);
    const from = Math.max(window.merger.floor, span.endOffset);
    const done = window.merger.countConfirmed(from, end - from);
    losses.note(partition, 'cut', end - from - done);
    forgetIds(topic, number);
    await reset(topic, number, span.startOffset);
  }
}
