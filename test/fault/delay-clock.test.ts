import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { metric } from '../support/node-state.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { readAll } from '../support/read-all.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
const each = 20;
const readyMs = 60_000;

/** Delayed messages of one node, in groups by their names, and its stepping clock. */
class Stepped {
  readonly topic = uniqueTopic('clock');
  readonly clock: WallClock;
  readonly server: TestServer;
  client!: MqpClient;
  private readonly dues = new Map<string, number>();
  private offsetMs = 0;

  constructor(server: TestServer, clock: WallClock) {
    this.server = server;
    this.clock = clock;
  }

  async connect(): Promise<void> {
    this.client = await connectDelay(this.server, { timeoutMs: readyMs });
  }

  step(offsetMs: number): void {
    this.offsetMs = offsetMs;
    this.clock.setOffset(offsetMs);
  }

  /** A group that is due from so long on, by the node's clock as it is now. */
  async send(group: string, aheadMs: number): Promise<void> {
    const now = Date.now() + this.offsetMs;
    for (let i = 0; i < each; i++) {
      const value = `${group}.${i}`;
      this.dues.set(value, now + aheadMs + i);
      await this.client.produce(this.topic, { value, dueAtMs: now + aheadMs + i });
    }
  }

  /** These groups fire, and by then no other has but those before. */
  async fires(groups: readonly string[], step: string): Promise<void> {
    const wanted = groups.length * each;
    const seen = async () => {
      const arrivals = await readAll(this.client, this.topic);
      const some = new Set(arrivals.map(({ value }) => value));
      const found = [...some].filter((value) => groups.includes(value.split('.')[0] as string));
      return found.length === wanted && arrivals;
    };
    const arrivals = await until(seen, { timeoutMs: readyMs, everyMs: 100, what: step });
    for (const { value, timestampMs } of arrivals) {
      assert(groups.includes(value.split('.')[0] as string), `${value} ${step}`);
      const due = this.dues.get(value) as number;
      assert(timestampMs >= due, `${value}, due ${due}, came ${timestampMs} ${step}`);
    }
    const values = arrivals.map(({ value }) => value);
    assert.equal(new Set(values).size, values.length, 'none twice');
  }
}

async function steps(stepped: Stepped): Promise<void> {
  await stepped.send('in memory', 28_000);
  await stepped.send('near', 50 * minuteMs);
  await stepped.send('far', 10 * hourMs);
  stepped.step(-hourMs);
  await stepped.send('back', 500);
  await stepped.send('later', 30 * minuteMs);
  await stepped.fires(['back'], 'an hour back');
  assert.equal(await metric(stepped.server, 'mqproxy_delay_clock_steps_total'), 1);
  await stepped.client.close();
  await until(async () => (await pendingOf(stepped)) === 4 * each, { what: 'fired ones to end' });

  await stepped.server.kill('SIGKILL');
  await stepped.server.restart();
  await stepped.connect();
  await stepped.send('again', 500);
  await stepped.fires(['back', 'again'], 'an hour back, after a kill');
  stepped.step(-5 * minuteMs);
  await stepped.fires(['back', 'again', 'later'], 'most of the way forward');
  stepped.step(hourMs);
  const all = ['back', 'again', 'later', 'in memory', 'near'];
  await stepped.fires(all, 'an hour ahead');
  assert.equal(await metric(stepped.server, 'mqproxy_delay_clock_steps_total'), 2);
  assert.equal(await metric(stepped.server, 'mqproxy_delay_fired_early_total'), 0);
  await stepped.client.close();
}

async function pendingOf({ server }: Stepped): Promise<number> {
  const client = await connectDelay(server, { timeoutMs: readyMs });
  const { pending } = await client.delayed.stats();
  await client.close();
  return pending;
}

for (const backend of ['embedded', 'kafka'] as const) {
  test(`a clock that steps by an hour fires no delay early, and none twice, on ${backend}`, {
    skip: skipWithoutPreload() || (backend === 'kafka' && skipWithoutKafka()),
  }, async () => {
    const clock = new WallClock(tempDir());
    const env = preloadEnv({ clock: clock.file });
    const on =
      backend === 'kafka'
        ? { backend, kafkaBrokers: (await startKafka({ heapMaxMib: 320 })).address }
        : {};
    const stepped = new Stepped(await startServer({ ...on, env }), clock);
    await stepped.connect();
    await stepped.client.createTopic(stepped.topic, { partitions: 1 });
    await steps(stepped);
  });
}
