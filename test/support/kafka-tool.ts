import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fetchKafka, kafkaLibs } from './kafka.ts';

const run = promisify(execFile);

/** The programs behind Kafka's own scripts. */
export const kafkaTools = {
  groups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  configs: 'kafka.admin.ConfigCommand',
} as const;

/** Runs one of Kafka's own tools against a broker; what it printed. Rejects when it fails. */
export async function kafkaTool(
  tool: keyof typeof kafkaTools,
  brokers: string,
  ...args: string[]
): Promise<string> {
  await fetchKafka();
  const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error';
  const java = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', quiet];
  const words = ['-cp', join(kafkaLibs, '*'), kafkaTools[tool], '--bootstrap-server', brokers];
  const { stdout } = await run('java', [...java, ...words, ...args], { timeout: 60_000 });
  return stdout;
}

/** A row of a group's listing. */
export interface GroupRow {
  readonly partition: number;
  readonly offset: string;
  readonly end: string;
  readonly lag: string;
  readonly clientId: string;
}

/** What `kafka-consumer-groups --describe` shows of a group in a topic, by partition. */
export async function describedGroup(
  brokers: string,
  group: string,
  topic: string,
): Promise<GroupRow[]> {
  const text = await kafkaTool('groups', brokers, '--describe', '--group', group);
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([name, ofTopic]) => name === group && ofTopic === topic)
    .map(([, , partition, offset = '', end = '', lag = '', , , clientId = '']) => ({
      partition: Number(partition),
      offset,
      end,
      lag,
      clientId,
    }))
    .sort((a, b) => a.partition - b.partition);
}
