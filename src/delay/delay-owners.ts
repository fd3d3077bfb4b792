import type { ConsumerBackend, GroupMemberDescription } from '../backend/consumer-port.ts';
import type { Clock } from '../base/clock.ts';

/** What was read of the group is asked for again after so long, in ms. */
const FRESH_MS = 1_000;
/** Longest wait for a name, in ms: the refusal goes without it then. */
const WAIT_MS = 1_000;
/** A foreign member may have any name; a refusal has room for so much of it, in characters. */
const NAME_CHARS_MAX = 64;

/** What a {@link DelayOwners} is made of. */
export interface DelayOwnersParts {
  readonly consumers: Pick<ConsumerBackend, 'groupMembers'>;
  readonly clock: Clock;
  readonly group: string;
  readonly topic: string;
}

/** Says which node fires a partition of the delay log, for who asked another. */
export class DelayOwners {
  readonly #parts: DelayOwnersParts;
  #read: Promise<readonly GroupMemberDescription[]> | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DelayOwnersParts) {
    this.#parts = parts;
  }

  /** The owner's node id; undefined where it is not known within a second. Never rejects. */
  async find(partition: number): Promise<string | undefined> {
    const { clock, topic } = this.#parts;
    const members = await new Promise<readonly GroupMemberDescription[]>((resolve) => {
      const timer = clock.setTimer(() => resolve([]), WAIT_MS);
      void this.#members().then((found) => {
        timer.cancel();
        resolve(found);
      });
    });
    const owner = members.find(({ partitions }) =>
      partitions.some((one) => one.topic === topic && one.partition === partition),
    );
    return owner?.clientId.slice(0, NAME_CHARS_MAX);
  }

  /** One question is under way at a time, whoever asks meanwhile. */
  #members(): Promise<readonly GroupMemberDescription[]> {
    const { clock, consumers, group } = this.#parts;
    if (this.#read !== undefined && clock.monotonic() - this.#readAtMs < FRESH_MS) {
      return this.#read;
    }
    this.#readAtMs = clock.monotonic();
    this.#read = consumers.groupMembers([group]).then(
      (found) => found.get(group) ?? [],
      () => [],
    );
    return this.#read;
  }
}
