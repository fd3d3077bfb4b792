import type { FetchedRecords, GroupMember } from '../../backend/consumer-port.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ConsumePartition } from './partition.ts';

/** The window is asked for offsets so far apart before the reader jumps. */
const JUMP_OFFSETS = 16_384;

/** What {@link Fetching} is made of. */
export interface FetchingParts {
  readonly member: Pick<GroupMember, 'start' | 'want'>;
  readonly clock: Clock;
  /** What a partition may hold of payload, in bytes. */
  payloadBytesMax(): number;
}

/** Asks a group's member for records of its partitions, as their windows have room. */
export class Fetching {
  readonly #parts: FetchingParts;

  constructor(parts: FetchingParts) {
    this.#parts = parts;
  }

  /** Reads a partition from its first open offset on. */
  begin(partition: ConsumePartition): void {
    if (partition.isLeaving) return;
    partition.isFetching = true;
    this.#start(partition);
    this.want(partition);
  }

  /** Where it was read has moved: it begins again, without what was asked for. */
  restart(partition: ConsumePartition): void {
    partition.wanted = 0;
    this.#start(partition);
  }

  /** What came of a partition, before its window takes it. */
  came(partition: ConsumePartition, batch: FetchedRecords): void {
    const bytes = batch.records.length;
    partition.wanted = Math.max(0, partition.wanted - bytes);
    partition.averageBytes = Math.max(1, Math.round(bytes / batch.count));
    partition.endOffset = batch.endOffset;
    partition.endHeardMs = this.#parts.clock.monotonic();
  }

  /** Asks for more where there is room. */
  want(partition: ConsumePartition): void {
    const { window } = partition;
    if (!partition.isFetching) return;
    if (window.unfinished >= limits.windowMessagesMax) return;
    const fetchMax = Math.min(this.#parts.payloadBytesMax(), limits.fetchAheadBytes);
    const ahead = window.fresh * partition.averageBytes + partition.wanted;
    if (ahead > fetchMax / 2) return;
    const bytes = Math.ceil(fetchMax - ahead);
    partition.wanted += bytes;
    this.#parts.member.want(partition.topic, partition.partition, bytes);
  }

  /** After a restart much of what follows may be acked: reading goes on behind it. */
  jump(partition: ConsumePartition): void {
    const { window } = partition;
    const next = window.merger.nextOpen(window.nextOffset);
    if (next - window.nextOffset < JUMP_OFFSETS) return;
    window.jump(next);
    this.restart(partition);
  }

  #start({ window, topic, partition }: ConsumePartition): void {
    this.#parts.member.start(topic, partition, window.merger.nextOpen(window.nextOffset));
  }
}
