import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { BlockTimers } from '../lease/block-timers.ts';
import type { Settler } from '../lease/settle.ts';
import type { WindowState } from '../lease/window-state.ts';
import type { ConsumeStats } from './consume-stats.ts';
import type { Failures } from './failures.ts';
import type { ConsumePartition } from './partition.ts';

/** What all groups of a node share. */
export interface ConsumeShared {
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly fingerprint: Buffer;
  readonly settler: Settler;
  readonly stats: ConsumeStats;
  readonly timers: BlockTimers<WindowState>;
  readonly commitMs: number;
  readonly commitAcks: number;
  /** Bytes of payload that a partition may hold. */
  payloadBytesMax(): number;
  /** Runs of other owners are noted, so that ours are later ones. */
  noteRun(run: number): void;
  onOpened(window: WindowState, partition: ConsumePartition, failures: Failures): void;
  onClosed(partition: ConsumePartition): void;
  /** Subscriptions of a slot have less out. */
  onReturned(slot: number, count: number): void;
}
