import type { QuotaMarks } from './journal/outbox-journal.ts';

/** Node topic ids that stand for a refusal; the catalog never gives them out. */
export const refusedTopic = {
  /** The connection never opened that id. */
  notOpen: 65_535,
  /** The connection may not produce to it. */
  notAuthorized: 65_534,
} as const;

/** How a cluster is written to. */
export interface KafkaCluster {
  /** Lanes with one key share one native producer. */
  readonly key: string;
  /** librdkafka's settings, secrets included. */
  readonly config: Record<string, string>;
}

/** How a lane is made. Plain data: it crosses a thread. */
export interface LaneOptions {
  readonly lane: number;
  /** `<dataDir>/lanes/<n>`. */
  readonly folder: string;
  readonly dataDir: string;
  /** Eight bytes. */
  readonly nodeId: Uint8Array;
  readonly batchBytesMax: number;
  readonly messageBytesMax: number;
  readonly keyBytesMax: number;
  readonly headersBytesMax: number;
  readonly marks: QuotaMarks;
  readonly logLevel: string;
  /** Present: the lane sends to Kafka. Absent: the embedded log. */
  readonly kafka?: KafkaCluster;
  /** The cluster that takes over while the first is out of order. */
  readonly backup?: KafkaCluster;
  readonly embedded?: {
    readonly retentionMs: number | undefined;
    readonly retentionBytes: number | undefined;
    readonly allowDegradedAck: boolean;
  };
}
