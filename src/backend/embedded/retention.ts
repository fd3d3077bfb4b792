import type { Clock, Timer } from '../../base/clock.ts';
import type { ChunkLog } from '../../store/lane-store.ts';
import type { PartitionLog } from './partition-log.ts';

/** How long a log is kept; undefined keeps it for ever. */
export interface RetentionLimits {
  readonly ms: number | undefined;
  /** Bytes of records per partition. */
  readonly bytes: number | undefined;
}

/** What {@link Retention} needs. */
export interface RetentionOptions {
  readonly chunks: ChunkLog;
  readonly clock: Clock;
  /** Between two sweeps, in ms. */
  readonly sweepMs: number;
  /** Every partition with its limits. */
  readonly partitions: () => Iterable<readonly [PartitionLog, RetentionLimits]>;
  /** What else a sweep does with a partition; never beside a deletion. */
  readonly compact: (log: PartitionLog) => Promise<void>;
  /** A sweep failed: the disk did. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * Frees the disk of what is too old or too much, from the oldest on, in whole chunks; then gives
 * each partition to compaction.
 */
export class Retention {
  readonly #options: RetentionOptions;
  #timer: Timer | undefined;
  #sweeping: Promise<void> | undefined;
  #closed = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#arm();
  }

  /** Sweeps now, after the sweep under way if there is one. Rejects with what the disk said. */
  sweep(): Promise<void> {
    return this.#alone(() => this.#sweepAll());
  }

  /** Frees the chunks of a partition that end at `offset` or before. */
  free(log: PartitionLog, offset: number): Promise<void> {
    const { topicId, partition } = log;
    return this.#alone(async () => {
      if (this.#closed || log.startOffset >= offset) return;
      let end = log.startOffset;
      let freed = 0;
      for await (const chunk of this.#options.chunks.infos({ topicId, partition, offset: end })) {
        const next = chunk.baseOffset + chunk.messages;
        if (next > Math.min(offset, log.endOffset)) break;
        end = next;
        freed += chunk.bytes;
      }
      if (end === log.startOffset) return;
      log.forget(end, freed);
      await this.#options.chunks.deleteBefore({ topicId, partition, offset: end });
    });
  }

  /** One at a time: each frees from where the log begins. */
  async #alone(work: () => Promise<void>): Promise<void> {
    while (this.#sweeping !== undefined) await this.#sweeping;
    this.#sweeping = work().finally(() => {
      this.#sweeping = undefined;
    });
    await this.#sweeping;
  }

  /** Sweeps in the background when the partition has grown well over its limit since the last. */
  noticed(log: PartitionLog, limits: RetentionLimits): void {
    if (limits.bytes === undefined || this.#sweeping !== undefined || this.#closed) return;
    const slack = Math.min(64 * 1024 * 1024, limits.bytes / 4);
    if (log.bytes > limits.bytes + slack) this.sweep().catch(this.#options.onFailure);
  }

  /** No sweep begins any more; resolves when the last has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#sweeping?.catch(() => undefined);
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.sweep().then(() => this.#arm(), this.#options.onFailure);
    }, this.#options.sweepMs);
  }

  async #sweepAll(): Promise<void> {
    const nowMs = this.#options.clock.now();
    for (const [log, limits] of this.#options.partitions()) {
      if (this.#closed) return;
      if (log.startOffset < log.endOffset) await this.#sweepOne(log, limits, nowMs);
      if (log.startOffset < log.endOffset) await this.#options.compact(log);
    }
  }

  async #sweepOne(log: PartitionLog, limits: RetentionLimits, nowMs: number): Promise<void> {
    const before = limits.ms === undefined ? Number.NEGATIVE_INFINITY : nowMs - limits.ms;
    const bytesMax = limits.bytes ?? Number.POSITIVE_INFINITY;
    const young = log.oldestMs !== undefined && log.oldestMs >= before;
    if (young && log.bytes <= bytesMax) return;
    const { topicId, partition } = log;
    const { startOffset } = log;
    let offset = startOffset;
    let freed = 0;
    let oldestMs: number | undefined;
    for await (const chunk of this.#options.chunks.infos({ topicId, partition, offset })) {
      const last = chunk.baseOffset + chunk.messages >= log.endOffset;
      const tooMuch = log.bytes - freed > bytesMax && !last;
      if (chunk.baseOffset >= log.endOffset || !(chunk.timestampMs < before || tooMuch)) {
        oldestMs = chunk.timestampMs;
        break;
      }
      offset = chunk.baseOffset + chunk.messages;
      freed += chunk.bytes;
    }
    if (offset > startOffset) {
      // Readers are turned away before the records go, so none of them meets a hole.
      log.forget(offset, freed);
      await this.#options.chunks.deleteBefore({ topicId, partition, offset });
    }
    log.oldestMs = oldestMs;
  }
}
