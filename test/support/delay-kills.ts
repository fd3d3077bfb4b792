import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ProduceResult } from '../../sdk/ts/src/types.ts';
import { connectDelay, delayNumbers } from './connect.ts';
import type { WallClock } from './preload.ts';
import type { Arrival } from './read-all.ts';
import { Seeded, seed } from './seeded.ts';
import type { TestServer } from './start-server.ts';
import { passing, until } from './wait.ts';

/** What a run of {@link DelayKills} is made of. */
export interface DelayKillsOptions {
  /** Started with `clock` as its wall clock. */
  readonly server: TestServer;
  readonly clock: WallClock;
  /** A topic of one partition, whose records have the time of the node that wrote them. */
  readonly topic: string;
  /** Delayed messages that wait when the first kill comes. */
  readonly pending: number;
  readonly cycles: number;
}

const batch = 500;
/** The messages of a cycle come due within so many ms, those of the next so long after them. */
const dueMs = 1_000;
const cycleMs = 60_000;
/** Until the first come due all are scheduled, however slow the machine is. */
const aheadMs = 20 * 60_000;
const cancelsEach = 20;
const killWithinMs = 300;
/** A killed member of a group is missed after its session. */
const readyMs = 120_000;

/**
 * Kills a node with -9 again and again while delayed messages fire. Its wall clock is stepped from
 * one group of due times to the next, so that the run is the same on a slow machine.
 */
export class DelayKills {
  readonly cancelled = new Set<string>();
  readonly #options: DelayKillsOptions;
  readonly #random = new Seeded(seed);
  readonly #startMs = Date.now() + aheadMs;
  readonly #dues: number[];
  readonly #sent: ProduceResult[] = [];
  /** So far the node's clock is ahead of the machine's. */
  #offsetMs = 0;

  constructor(options: DelayKillsOptions) {
    this.#options = options;
    const { pending, cycles } = options;
    console.log(`seed=${seed} pending=${pending} cycles=${cycles}`);
    this.#dues = Array.from({ length: pending }, (_, i) => {
      const cycle = Math.floor((i * cycles) / pending);
      return this.#startMs + cycle * cycleMs + this.#random.below(dueMs);
    });
  }

  /** Schedules all, and kills the node in each cycle; afterwards it runs, and all are due. */
  async run(): Promise<void> {
    const { server, cycles, clock } = this.#options;
    const client = await connectDelay(server, { timeoutMs: readyMs });
    await this.#schedule(client);
    await client.close();
    const indexLostIn = this.#random.below(cycles);
    for (let cycle = 0; cycle < cycles; cycle++) {
      await this.#cancelSome(cycle);
      const nodeMs = Date.now() + this.#offsetMs;
      // On a slow machine it is there already.
      this.#offsetMs += Math.max(0, this.#startMs + cycle * cycleMs + dueMs - nodeMs);
      clock.setOffset(this.#offsetMs);
      await this.#untilFiring();
      await passing(this.#random.below(killWithinMs));
      await server.kill('SIGKILL');
      if (cycle === indexLostIn) rmSync(join(server.dataDir, 'delay'), { recursive: true });
      await server.restart();
    }
    await until(() => this.#isOver(), { timeoutMs: 300_000, everyMs: 200, what: 'all have fired' });
  }

  /** Holds all that came against what was scheduled; prints the counts. */
  check(arrivals: readonly Omit<Arrival, 'offset'>[]): void {
    const { pending, cycles } = this.#options;
    const times = new Uint8Array(pending);
    for (const { id, value, timestampMs } of arrivals) {
      const i = Number(value);
      const due = this.#dues[i] as number;
      assert.equal(id, this.#sent[i]?.id, `message ${i} came with another id`);
      assert(!this.cancelled.has(id), `message ${i} was cancelled`);
      assert(timestampMs >= due, `message ${i} came ${timestampMs}, due ${due}`);
      times[i] = (times[i] as number) + 1;
    }
    const isLost = (i: number) => times[i] === 0 && !this.cancelled.has(this.#sent[i]?.id ?? '');
    const lost = [...times.keys()].filter(isLost);
    assert.deepEqual(lost.slice(0, 10), [], `${lost.length} were lost`);
    const fired = pending - this.cancelled.size;
    const duplicates = arrivals.length - fired;
    console.log(
      `kills=${cycles} fired=${fired} cancelled=${this.cancelled.size} lost=0 early=0 duplicates=${duplicates}`,
    );
    for (const [i, n] of times.entries()) {
      const killsSinceDue = cycles - Math.floor((i * cycles) / pending);
      assert(n <= 1 + killsSinceDue, `message ${i} came ${n} times`);
    }
  }

  async #schedule(client: MqpClient): Promise<void> {
    const { topic, pending } = this.#options;
    for (let from = 0; from < pending; from += batch) {
      const dues = this.#dues.slice(from, from + batch);
      const messages = dues.map((dueAtMs, i) => ({ value: `${from + i}`, dueAtMs }));
      const results = await new Promise<readonly (ProduceResult | Error)[]>((resolve) => {
        client.produceBatch(topic, messages, {}, (_, all) => resolve(all));
      });
      for (const result of results) {
        assert(!(result instanceof Error), String(result));
        this.#sent.push(result);
      }
    }
    const isThere = async () => (await delayNumbers(client)).pending === pending;
    await until(isThere, { timeoutMs: 300_000, everyMs: 200, what: 'all to wait' });
  }

  /** Of those that come due in this cycle or later. */
  async #cancelSome(cycle: number): Promise<void> {
    const { server, pending, cycles } = this.#options;
    const client = await connectDelay(server, { timeoutMs: readyMs });
    const from = Math.ceil((cycle * pending) / cycles);
    const one = async (): Promise<void> => {
      const i = from + this.#random.below(pending - from);
      const { delayId = '', id = '' } = this.#sent[i] ?? {};
      const outcome = await client.delayed.cancel({ id: delayId });
      if (outcome === 'cancelled') this.cancelled.add(id);
      else {
        const isDue = Date.now() + this.#offsetMs >= (this.#dues[i] as number);
        assert(isDue || this.cancelled.has(id), outcome);
      }
    };
    for (let i = 0; i < cancelsEach; i++) await one();
    await client.close();
  }

  async #untilFiring(): Promise<void> {
    const client = await connectDelay(this.#options.server, { timeoutMs: readyMs });
    // On a slow machine all may have fired, before the last kill.
    const isFiring = async () => {
      const { fired, pending } = await delayNumbers(client);
      return fired > 0 || pending === 0;
    };
    await until(isFiring, { timeoutMs: readyMs, everyMs: 2, what: 'the first fires' });
    await client.close();
  }

  async #isOver(): Promise<boolean> {
    const client = await connectDelay(this.#options.server, { timeoutMs: readyMs });
    const { pending } = await delayNumbers(client);
    await client.close();
    return pending === 0;
  }
}
