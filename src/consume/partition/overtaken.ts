import type { ConsumerBackend, TopicPartition } from '../../backend/consumer-port.ts';
import type { PartitionOffsets } from '../../backend/port.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import type { Losses } from './losses.ts';
import type { ConsumePartition } from './partition.ts';

/** Between two looks at a cluster that does not tell of a partition, in ms. */
const RETRY_MS = 500;

/** What {@link Overtaken} asks of the membership. */
export interface OvertakenHooks {
  readonly clock: Clock;
  readonly backend: Pick<ConsumerBackend, 'offsets'>;
  readonly losses: Losses;
  partitionOf(place: TopicPartition): ConsumePartition | undefined;
  /** What was seen of a partition says nothing about what is in it now. */
  forgetIds(topic: string, partition: number): void;
  /** Begins anew at an offset, with nothing acked. */
  reset(topic: string, partition: number, offset: number): Promise<unknown>;
  /** The window's position has moved: reads on from there. */
  goOn(partition: ConsumePartition): void;
  /** The cluster could not be asked: it is asked again. */
  onError(error: unknown): void;
}

/** What was to be read next is not in the log: that is counted, said, and passed over. */
export class Overtaken {
  readonly #hooks: OvertakenHooks;
  readonly #looking = new Set<ConsumePartition>();

  constructor(hooks: OvertakenHooks) {
    this.#hooks = hooks;
  }

  /** Nothing more is fetched of the partition until it was found where it goes on. */
  async look(place: TopicPartition): Promise<void> {
    const { clock, partitionOf, onError } = this.#hooks;
    const partition = partitionOf(place);
    if (partition === undefined || this.#looking.has(partition)) return;
    this.#looking.add(partition);
    // One that goes is its next owner's to look at.
    while (!partition.isLeaving) {
      try {
        if (await this.#find(partition)) break;
      } catch (error) {
        onError(error);
      }
      await sleep(clock, RETRY_MS);
    }
    this.#looking.delete(partition);
  }

  /** @returns false when the cluster does not tell of that partition */
  async #find(partition: ConsumePartition): Promise<boolean> {
    const { backend, losses, goOn } = this.#hooks;
    const spans = await backend.offsets(partition.topic);
    const span = spans.find((one) => one.partition === partition.partition);
    if (partition.isLeaving) return true;
    if (span === undefined) return false;
    const { window } = partition;
    const gone = Math.max(0, span.startOffset - window.nextOffset);
    if (gone === 0) {
      await this.#cut(partition, span);
      return true;
    }
    losses.note(partition, 'retention', window.merger.confirm(window.nextOffset, gone));
    window.jump(span.startOffset);
    goOn(partition);
    return true;
  }

  /**
   * The topic was made anew, or cut: what was read next lay behind its end, where it may have grown
   * beyond that since, or Kafka tells by the leader's epoch. Where, nobody knows: what was written
   * since may lie at any offset, also below the floor. So all that is there is delivered, and no id
   * is taken for that of a copy: its first one may have been unfinished. Counted is what must be
   * gone: behind the end.
   */
  async #cut(partition: ConsumePartition, span: PartitionOffsets): Promise<void> {
    const { losses, forgetIds, reset } = this.#hooks;
    const { topic, partition: number, window } = partition;
    const end = Math.max(window.nextOffset, partition.endOffset);
    const from = Math.min(end, Math.max(window.merger.floor, span.endOffset));
    const done = window.merger.countConfirmed(from, end - from);
    losses.note(partition, 'cut', end - from - done);
    forgetIds(topic, number);
    await reset(topic, number, span.startOffset);
  }
}
