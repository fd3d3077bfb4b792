import assert from 'node:assert/strict';
import type { FaultProxy } from '../support/fault-proxy.ts';
import type { KafkaBroker } from '../support/kafka.ts';
import { laneStates } from '../support/node-state.ts';
import type { DiskFault } from '../support/preload.ts';
import { runCli } from '../support/run-cli.ts';
import type { Seeded } from '../support/seeded.ts';
import { passing, until } from '../support/wait.ts';
import type { FaultRun } from './fault-run.ts';

/** What a fault has at hand. */
export interface Scene {
  readonly run: FaultRun;
  readonly random: Seeded;
  readonly broker?: KafkaBroker;
  /** Between the node and its broker. */
  readonly proxy?: FaultProxy;
  /** The second cluster. */
  readonly backup?: KafkaBroker;
}

/** Every fault that a driven run draws. */
export type FaultName =
  | 'kill'
  | 'power'
  | 'freeze-node'
  | 'slow-disk'
  | 'io-error'
  | 'full-disk'
  | 'clock-step'
  | 'cut-clients'
  | 'bad-client-net'
  | 'kill-kafka'
  | 'freeze-kafka'
  | 'half-open'
  | 'black-hole'
  | 'bad-kafka-net'
  | 'primary-away'
  | 'backup-away'
  | 'both-away'
  | 'kill-backup'
  | 'use-backup';

/** So far a drawn step puts the clock ahead, at most, in ms. */
export const CLOCK_AHEAD_MS = 86_400_000;
const AHEAD_FOR_MS = 10_000;

const SENDS_NOTHING_AGAIN: ReadonlySet<FaultName> = new Set([
  'slow-disk',
  'clock-step',
  'cut-clients',
  'bad-client-net',
]);

/** Whether the node may send again what had been sent before such a fault. */
export function maySendAgain(name: FaultName): boolean {
  return !SENDS_NOTHING_AGAIN.has(name);
}

export interface DrawnFault {
  readonly name: FaultName;
  /** How often it is drawn, beside the others. */
  readonly weight: number;
  readonly needsKafka?: boolean;
  readonly needsBackup?: boolean;
  /** It is over when this resolves; false: nothing has happened. */
  happen(scene: Scene): Promise<unknown>;
}

/** Between two I/O errors: a second one within 60 s takes a lane out, as it should. */
const IO_ERROR_EVERY_MS = 70_000;
let lastIoErrorMs = Number.NEGATIVE_INFINITY;

/** A call of the store fails, and its lane has seen it. False: it is too soon for that. */
async function failStore(
  { run, random }: Scene,
  fault: Pick<DiskFault, 'on' | 'does'>,
): Promise<boolean> {
  if (performance.now() - lastIoErrorMs < IO_ERROR_EVERY_MS) return false;
  lastIoErrorMs = performance.now();
  const failures = async (): Promise<number> =>
    (await laneStates(run.server)).reduce((sum, lane) => sum + lane.storeFailures, 0);
  const before = await failures();
  run.crew.history.event('disk');
  run.disk.set({ ...fault, from: 1 + random.below(20), path: '/store/' });
  const isSeen = async () => (await failures()) > before;
  await until(isSeen, { what: 'a lane to see its disk fail' });
  await passing(1_000);
  run.disk.clear();
  return true;
}

const faults: readonly DrawnFault[] = [
  { name: 'kill', weight: 4, happen: ({ run }) => run.kill() },
  { name: 'power', weight: 3, happen: ({ run }) => run.losePower() },
  {
    name: 'freeze-node',
    weight: 1,
    async happen({ run, random }) {
      run.server.signal('SIGSTOP');
      await passing(100 + random.below(3_000));
      run.server.signal('SIGCONT');
    },
  },
  {
    name: 'slow-disk',
    weight: 1,
    async happen({ run, random }) {
      run.disk.set({ on: 'sync', to: Infinity, does: 50 + random.below(500) });
      await passing(3_000);
      run.disk.clear();
    },
  },
  {
    name: 'io-error',
    weight: 1,
    happen: (scene) =>
      failStore(scene, { on: scene.random.pick(['sync', 'write'] as const), does: 'EIO' }),
  },
  {
    name: 'full-disk',
    weight: 1,
    happen: (scene) => failStore(scene, { on: 'write', does: 'ENOSPC' }),
  },
  {
    name: 'clock-step',
    weight: 1,
    async happen({ run, random }) {
      run.crew.history.event('clock');
      const offset = random.pick([3_600_000, -3_600_000, CLOCK_AHEAD_MS, 0]);
      run.clock.setOffset(offset);
      await passing(1_000);
      // Kafka takes nothing from so far ahead, and soon every client waits for it: the faults that
      // follow meet some seconds of that. The run may be over then.
      if (offset === CLOCK_AHEAD_MS) {
        void passing(AHEAD_FOR_MS)
          .then(() => run.clock.setOffset(0))
          .catch(() => {});
      }
    },
  },
  {
    name: 'cut-clients',
    weight: 2,
    async happen({ run, random }) {
      run.crew.history.event('net');
      await passing(random.below(500));
      run.proxy?.resetAll();
    },
  },
  {
    name: 'bad-client-net',
    weight: 1,
    async happen({ run, random }) {
      run.crew.history.event('net');
      run.proxy?.setFaults({ latencyMs: random.below(50), jitterMs: 50, sliceBytes: 200 });
      await passing(3_000);
      run.proxy?.setFaults({});
    },
  },
  {
    name: 'kill-kafka',
    weight: 1,
    needsKafka: true,
    async happen({ run, random, broker }) {
      run.crew.history.event('outage');
      await broker?.kill();
      await passing(random.below(5_000));
      await broker?.start();
    },
  },
  {
    name: 'freeze-kafka',
    weight: 1,
    needsKafka: true,
    async happen({ run, random, broker }) {
      run.crew.history.event('outage');
      broker?.pause();
      await passing(random.below(12_000));
      broker?.resume();
    },
  },
  ...(['half-open', 'blackhole'] as const).map(
    (mode): DrawnFault => ({
      name: mode === 'blackhole' ? 'black-hole' : mode,
      weight: 1,
      needsKafka: true,
      async happen({ run, random, proxy }) {
        run.crew.history.event('outage');
        await proxy?.setMode(mode);
        await passing(random.below(12_000));
        await proxy?.setMode('pass');
      },
    }),
  ),
  {
    name: 'bad-kafka-net',
    weight: 1,
    needsKafka: true,
    async happen({ run, random, proxy }) {
      run.crew.history.event('net');
      proxy?.setFaults({ latencyMs: random.below(200), jitterMs: 100, sliceBytes: 1_000 });
      await passing(4_000);
      proxy?.setFaults({});
    },
  },
  ...(['primary-away', 'backup-away', 'both-away'] as const).map(
    (name): DrawnFault => ({
      name,
      weight: name === 'primary-away' ? 3 : 1,
      needsBackup: true,
      async happen({ run, random, broker, backup }) {
        run.crew.history.event('outage');
        const away = {
          'primary-away': [broker],
          'backup-away': [backup],
          'both-away': [broker, backup],
        };
        for (const each of away[name]) each?.pause();
        // Long enough for the messages to go elsewhere.
        await passing(3_000 + random.below(6_000));
        // They come back one after the other, in any order.
        for (const each of random.shuffle(away[name])) {
          each?.resume();
          await passing(random.below(2_000));
        }
      },
    }),
  ),
  {
    name: 'kill-backup',
    weight: 1,
    needsBackup: true,
    async happen({ run, random, backup }) {
      run.crew.history.event('outage');
      await backup?.kill();
      await passing(random.below(5_000));
      await backup?.start();
    },
  },
  {
    name: 'use-backup',
    weight: 2,
    needsBackup: true,
    async happen({ run, random }) {
      for (const which of ['backup', 'auto']) {
        const { code, stderr } = await runCli(['cluster', 'use', which, '--server', run.address]);
        assert.equal(code, 0, stderr);
        await passing(random.below(3_000));
      }
    },
  },
];

/** One of the faults, as the seed has it. */
export function drawFault(
  random: Seeded,
  { clusters, only }: { readonly clusters: number; readonly only?: readonly string[] | undefined },
): DrawnFault {
  const possible = faults.filter(
    ({ name, needsKafka, needsBackup }) =>
      clusters >= (needsBackup === true ? 2 : needsKafka === true ? 1 : 0) &&
      (only === undefined || only.includes(name)),
  );
  const hat = possible.flatMap((fault) => new Array<DrawnFault>(fault.weight).fill(fault));
  return random.pick(hat);
}
