import { join } from 'node:path';
import { EmbeddedBackend } from '../../src/backend/embedded/embedded-backend.ts';
import { EmbeddedConsumers } from '../../src/backend/embedded/embedded-consumers.ts';
import { EmbeddedInternalTopics } from '../../src/backend/embedded/embedded-internal-topics.ts';
import { EmbeddedPublisher } from '../../src/backend/embedded/embedded-publisher.ts';
import type { LaneControl } from '../../src/backend/embedded/lane-control.ts';
import { systemClock } from '../../src/base/clock.ts';
import { coded } from '../../src/base/errors.ts';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { inlineLane } from '../../src/lanes/inline-lane.ts';
import { LaneLink } from '../../src/lanes/lane-link.ts';
import { LaneStats } from '../../src/produce/intake/lane-stats.ts';
import type { LaneOptions } from '../../src/produce/lane-options.ts';
import { createLaneService } from '../../src/produce/lane-service.ts';
import { cleanUp } from './clean-up.ts';
import { roomyLane } from './lane-options.ts';
import { tempDir } from './temp-dir.ts';

/** The ports of an embedded log, over a real lane on the calling thread. */
export interface EmbeddedCluster {
  readonly backend: EmbeddedBackend;
  readonly consumers: EmbeddedConsumers;
  readonly publisher: EmbeddedPublisher;
  readonly internalTopics: EmbeddedInternalTopics;
  /** Where it keeps its data: another one may be opened there after `close`. */
  readonly folder: string;
  close(): Promise<void>;
}

/** Opens one, on a fresh folder unless one is given; it is closed after the test. */
export async function embeddedCluster(folder: string = tempDir()): Promise<EmbeddedCluster> {
  const link = new LaneLink(1024 * 1024, new LaneStats().memory, {
    onAnswers: () => undefined,
    onRoom: () => undefined,
    onEvent: (event) => {
      if (event.kind === 'out') throw coded('LANE_OUT', 'the lane is out');
    },
  });
  await link.start(inlineLane(createLaneService, laneOptions(folder)));
  const lane: LaneControl = {
    call: (name, args) =>
      // What crosses to a lane is copied, as between threads.
      link.call('log', name, structuredClone(args)) as ReturnType<LaneControl['call']>,
  } as LaneControl;
  const book = await FileCatalog.open(join(folder, 'topics.json'), systemClock);
  const backend = await EmbeddedBackend.open({
    book,
    lane,
    partitions: 4,
    messageBytesMax: 1_000_000,
  });
  const consumers = new EmbeddedConsumers({ backend, lane, clock: systemClock });
  const publisher = new EmbeddedPublisher({ book, lane });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await consumers.close();
    await publisher.close();
    await link.close();
  };
  const cluster: EmbeddedCluster = {
    backend,
    consumers,
    publisher,
    internalTopics: new EmbeddedInternalTopics(backend),
    folder,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
  cleanUp(() => cluster.close());
  return cluster;
}

function laneOptions(folder: string): LaneOptions {
  return {
    ...roomyLane(folder),
    logLevel: 'error',
    embedded: { retentionMs: undefined, retentionBytes: undefined, allowDegradedAck: true },
  };
}
