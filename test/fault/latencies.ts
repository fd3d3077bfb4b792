import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import type { Cores } from '../support/cores.ts';
import { bytesBelow } from '../support/data-dir.ts';
import { metric } from '../support/node-state.ts';
import type { TestServer } from '../support/start-server.ts';
// tidy-allow sleep: messages come at a pace
import { passing } from '../support/wait.ts';

/** What messages took to their answer, in ms. */
export interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Produces to all topics at once for so long, `replicated`, each awaited. */
export async function latencies(
  client: MqpClient,
  topics: readonly string[],
  forMs: number,
): Promise<Latencies> {
  const times: number[] = [];
  const until = performance.now() + forMs;
  const loop = async (topic: string): Promise<void> => {
    while (performance.now() < until) {
      const sent = performance.now();
      await client.produce(topic, { value: 'v' }, { ack: 'replicated' });
      times.push(performance.now() - sent);
      await passing(5);
    }
  };
  await Promise.all(topics.map(loop));
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    Math.round((times[Math.floor(times.length * share)] ?? 0) * 10) / 10;
  return { count: times.length, p50: at(0.5), p99: at(0.99), max: at(0.99999) };
}

/** Below it nothing is said about twice as much, in ms: the brokers share the machine. */
const floorMs = 60;

/**
 * The others are not twice as slow beside a topic that is stuck. Prints both; they are held against
 * each other when the test had its cores since `cores` was made.
 */
export function holdOthers(cores: Cores, quiet: Latencies, during: Latencies): void {
  const ratio = (during.p99 / quiet.p99).toFixed(2);
  const measured = `p99 of the others: before=${quiet.p99} ms during=${during.p99} ms ratio=${ratio}`;
  if (!cores.wereThere(measured)) return;
  const most = Math.max(2 * quiet.p99, floorMs);
  assert(during.p99 <= most, `p99 of the others: ${during.p99} ms, at most ${most}`);
}

/** RocksDB's tables in memory and their write-ahead logs, until they are written and dropped. */
const LOGS_BYTES = 64 * 1024 * 1024;

/** Bytes that the lanes of a node have on the disk. */
export function diskOf({ dataDir }: TestServer): number {
  return bytesBelow(join(dataDir, 'lanes'));
}

/** The disk has grown by what is parked, as far as RocksDB tells, and not by what was delivered. */
export async function holdDisk(server: TestServer, bytesBefore: number): Promise<void> {
  const grown = diskOf(server) - bytesBefore;
  const parked = await metric(server, 'mqproxy_parked_bytes');
  console.log(`diskGrownBytes=${grown} parkedBytes=${parked}`);
  assert(grown <= parked + LOGS_BYTES, `the disk has grown by ${grown}, ${parked} are parked`);
}
