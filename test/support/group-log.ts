import type {
  FetchedRecords,
  GroupMember,
  JoinOptions,
  TopicPartition,
} from '../../src/backend/consumer-port.ts';
import type { CodedError } from '../../src/base/errors.ts';
import { until } from './wait.ts';

/** A member's callbacks, written down; partitions are `topic/partition`. */
export class GroupLog {
  readonly assigned = new Set<string>();
  /** Each call of `onAssigned`, as it came. */
  readonly rounds: string[][] = [];
  readonly revoked: string[] = [];
  readonly lost: string[] = [];
  readonly errors: { error: CodedError; place: TopicPartition | undefined }[] = [];
  readonly batches: FetchedRecords[] = [];
  /** Called instead of `done` at once. */
  onRevoking: ((partitions: readonly TopicPartition[], done: () => void) => void) | undefined;
  /** Called for each batch. */
  onRecords: ((batch: FetchedRecords) => void) | undefined;
  member: GroupMember | undefined;

  /** The callbacks for `join`. */
  options(group: string, topics: readonly string[], clientId = 'node-a'): JoinOptions {
    return {
      group,
      topics,
      clientId,
      onAssigned: (partitions) => {
        for (const place of partitions) this.assigned.add(nameOf(place));
        this.rounds.push(partitions.map(nameOf));
      },
      onRevoking: (partitions, done) => {
        const finish = (): void => {
          for (const place of partitions) this.assigned.delete(nameOf(place));
          this.revoked.push(...partitions.map(nameOf));
          done();
        };
        if (this.onRevoking === undefined) finish();
        else this.onRevoking(partitions, finish);
      },
      onLost: (partitions) => {
        for (const place of partitions) this.assigned.delete(nameOf(place));
        this.lost.push(...partitions.map(nameOf));
      },
      onRecords: (batch) => {
        this.batches.push(batch);
        this.onRecords?.(batch);
      },
      onError: (error, place) => this.errors.push({ error, place }),
    };
  }

  /** Records that came, of all batches. */
  get count(): number {
    return this.batches.reduce((sum, batch) => sum + batch.count, 0);
  }

  /** Values that came, as text, in the order of arrival. */
  values(): string[] {
    return this.batches.flatMap((batch) =>
      Array.from({ length: batch.count }, (_, i) => {
        const record = batch.records.subarray(batch.starts[i], batch.starts[i + 1]);
        return payloadOf(record).toString();
      }),
    );
  }

  /** Waits until that many partitions are the member's. */
  async has(partitions: number, timeoutMs?: number): Promise<void> {
    await until(() => this.assigned.size === partitions, {
      timeoutMs,
      what: `${partitions} partitions`,
    });
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

function payloadOf(record: Buffer): Buffer {
  const flags = record[20] ?? 0;
  let at = 21 + ((flags & 0x40) === 0 ? 0 : 16);
  if ((flags & 0x01) !== 0) at += 4 + record.readUInt32BE(at);
  if ((flags & 0x02) !== 0) at += 4 + record.readUInt32BE(at);
  return record.subarray(at);
}
