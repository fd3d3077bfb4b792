import { join } from 'node:path';
import type { LaneOptions } from '../../src/produce/lane-options.ts';

/** The one lane of a data folder, whose marks nothing reaches; where it sends is its test's. */
export function roomyLane(dataDir: string) {
  return {
    lane: 0,
    folder: join(dataDir, 'lanes', '0'),
    dataDir,
    nodeId: Buffer.alloc(8, 7),
    batchBytesMax: 1024 * 1024,
    messageBytesMax: 1_000_000,
    keyBytesMax: 32_768,
    headersBytesMax: 32_768,
    marks: {
      softBytes: 1e12,
      hardBytes: 1e12,
      freeBytesMin: 0,
      parkedBytes: 1e12,
      undeliverableBytes: 1e12,
      drainsGently: true,
    },
  } satisfies Partial<LaneOptions>;
}
