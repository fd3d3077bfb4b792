import assert from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { readTopic } from './kafka-read.ts';
import type { Answered } from './producer-crew.ts';

/** A message found in a log. */
export interface Found {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  readonly value: string;
}

/** Everything of these topics as kafkajs reads it. */
export async function readKafka(brokers: string, topics: readonly string[]): Promise<Found[]> {
  const found: Found[] = [];
  for (const topic of topics) {
    for (const record of await readTopic(brokers, topic)) {
      const { partition, offset, mq, value } = record;
      assert(mq !== undefined, 'every record of ours carries its id');
      found.push({ topic, partition, offset, id: mq.id, value: value?.toString() ?? '' });
    }
  }
  return found;
}

/** Everything of these topics as TAIL gives it. */
export async function readTail(server: string, topics: readonly string[]): Promise<Found[]> {
  const client = await MqpClient.connect({ servers: [server] });
  const found: Found[] = [];
  try {
    for (const topic of topics) {
      const { partitions } = await client.describeTopic(topic);
      for (const { partition, endOffset, startOffset } of partitions) {
        if (endOffset === startOffset) continue;
        for await (const record of client.tail(topic, { from: 'beginning', partition })) {
          const value = Buffer.from(record.value ?? []).toString();
          found.push({ topic, partition, offset: record.offset, id: record.id ?? '', value });
          if (record.offset === endOffset - 1) break;
        }
      }
    }
  } finally {
    await client.close();
  }
  return found;
}

/**
 * Holds what was answered against what was delivered: nothing answered is missing, nothing differs
 * by a byte, nothing was invented, and first occurrences of a producer rise with the offset.
 * Answers the ids that occur more than once.
 */
export function checkDelivery(answered: readonly Answered[], found: readonly Found[]): Set<string> {
  const values = new Map<string, string>();
  const duplicates = new Set<string>();
  const last = new Map<string, number>();
  for (const record of found) {
    const before = values.get(record.id);
    if (before !== undefined) {
      assert.equal(record.value, before, `${record.id} was delivered with two values`);
      duplicates.add(record.id);
      continue;
    }
    values.set(record.id, record.value);
    assert.match(record.value, /^p\d+-n\d+-x*#[0-9a-f]{32}$/, `${record.id} was invented`);
    const [producer, , sequence] = record.id.split('-');
    const line = `${record.topic}/${record.partition}/${producer}`;
    const rising = last.get(line) ?? 0;
    assert(Number(sequence) > rising, `${record.id} came after sequence ${rising} in ${line}`);
    last.set(line, Number(sequence));
  }
  const missing = answered.filter(({ id }) => !values.has(id)).map(({ id }) => id);
  const some = missing.slice(0, 5).join(' ');
  assert(
    missing.length === 0,
    `${missing.length} of ${answered.length} answered are lost: ${some}`,
  );
  for (const { id, value } of answered) assert.equal(values.get(id), value, `${id} differs`);
  return duplicates;
}

/** What came twice was noted as sent again by the node: fails for what was not. */
export function holdNoted(
  { dataDir }: { readonly dataDir: string },
  duplicates: ReadonlySet<string>,
): void {
  const noted = resentIds(dataDir);
  const unexplained = [...duplicates].filter((id) => !noted.has(id));
  assert.deepEqual(unexplained, [], 'a duplicate that the node did not note');
}

/** The ids that the node noted as sent again. */
export function resentIds(dataDir: string): Set<string> {
  const ids = new Set<string>();
  for (const name of ['resends.jsonl.1', 'resends.jsonl']) {
    const path = join(dataDir, name);
    if (!existsSync(path)) continue;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      if (line === '') continue;
      const { ids: runs } = JSON.parse(line) as { ids: [string, number, number, number][] };
      for (const [producer, epoch, first, count] of runs) {
        for (let i = 0; i < count; i++) ids.add(`${producer}-${epoch}-${first + i}`);
      }
    }
  }
  return ids;
}
