import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectDelay, delayNumbers } from '../support/connect.ts';
import {
  isSync,
  type PreloadCall,
  preloadEnv,
  readPreloadLog,
  skipWithoutPreload,
} from '../support/preload.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';
import { endsBeforeItFires } from './mutants/ends-before-it-fires.ts';
import type { Mutant } from './mutants/mutant.ts';

/** So few that their records fit into one block of the log: what lies over two is in parts. */
const count = 8;
const blockBytes = 32_768;
const skip = skipWithoutPreload();

/** Writes and syncs of the one write-ahead log that the store of the only lane has. */
class WrittenLog {
  readonly bytes: Buffer;
  readonly #writes: { call: PreloadCall; end: number }[] = [];
  readonly #syncs: PreloadCall[];

  constructor(dataDir: string, calls: readonly PreloadCall[]) {
    const store = join(dataDir, 'lanes', '0', 'store');
    const logs = readdirSync(store).filter((name) => /^\d+\.log$/.test(name));
    assert.equal(logs.length, 1, `one log was to be written: ${logs.join(' ')}`);
    const path = join(store, `${logs[0]}`);
    this.bytes = readFileSync(path);
    assert(this.bytes.length < blockBytes, `${this.bytes.length} bytes are in more than a block`);
    const own = calls.filter((call) => call.path === path);
    this.#syncs = own.filter(isSync);
    let end = 0;
    for (const call of own) {
      if (!/write/.test(call.call)) continue;
      end += call.result;
      this.#writes.push({ call, end });
    }
  }

  /** Where some bytes stand in it, each time. */
  placesOf(bytes: Buffer): number[] {
    const places: number[] = [];
    for (let at = this.bytes.indexOf(bytes); at >= 0; at = this.bytes.indexOf(bytes, at + 1))
      places.push(at);
    return places;
  }

  /** Whether what stands at `first` was synced before what stands at `then` was written. */
  isSyncedBefore(first: number, then: number): boolean {
    const [before, after] = [this.#writeOf(first), this.#writeOf(then)];
    return this.#syncs.some(
      ({ startNs, endNs, result }) =>
        result === 0 && startNs >= before.endNs && endNs <= after.startNs,
    );
  }

  #writeOf(place: number): PreloadCall {
    const found = this.#writes.find(({ end }) => end > place);
    assert(found !== undefined, `nothing was written at ${place}`);
    return found.call;
  }
}

/** Lets some delays fire, and gives how many were synced before their end was written. */
async function syncedBeforeTheirEnd(mutant?: Mutant): Promise<number> {
  const dataDir = tempDir('mqproxy-data-');
  const log = join(tempDir(), 'calls');
  const server = await startServer({
    dataDir,
    args: ['--lanes', '1'],
    env: preloadEnv({ pathPrefix: join(dataDir, 'lanes'), log }),
    ...(mutant === undefined ? {} : { entry: spoiltBuild(...mutant.spoils) }),
  });
  const client = await connectDelay(server);
  const topic = uniqueTopic('fsync');
  const values = Array.from({ length: count }, (_, i) => `a value of its own, number ${i}.`);
  const sent = await Promise.all(
    values.map((value, i) => client.produce(topic, { value, delayMs: 1_500 + 20 * i })),
  );
  const isOver = async () => (await delayNumbers(client)).fired === count;
  await until(isOver, { what: 'all to fire' });
  await client.close();
  // A stop writes the ends that gather, and all that fires before it.
  await server.kill('SIGTERM');
  const written = new WrittenLog(dataDir, readPreloadLog(log));
  const synced = values.filter((value, i) => {
    const [, fired] = written.placesOf(Buffer.from(value));
    const id = Buffer.from(`${sent[i]?.delayId}`.slice('d1-'.length), 'hex');
    const ended = written.placesOf(id).at(-1);
    assert(fired !== undefined && ended !== undefined, `${value} did not fire, or end`);
    return written.isSyncedBefore(fired, ended);
  });
  return synced.length;
}

test('what fires on the embedded log is synced before its end is written', { skip }, async () => {
  assert.equal(await syncedBeforeTheirEnd(), count);
});

test(`a build that ${endsBeforeItFires.does} is noticed`, { skip }, async () => {
  const synced = await syncedBeforeTheirEnd(endsBeforeItFires);
  assert(synced < count, 'this build was to end them first');
});
