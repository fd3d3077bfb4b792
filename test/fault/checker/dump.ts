import { MqpClient } from '../../../sdk/ts/src/client.ts';
import { scanTopic } from '../../support/kafka-read.ts';
import type { DumpRecord } from './history-checker.ts';

/** A message of the node that has no id where it was found: nobody of ours sent it. */
const NO_ID = '?-0-0';

/** Every record of these topics in one cluster, as kafkajs reads it, in a stream. */
export async function dumpKafka(
  { brokers, cluster = 'primary', timeoutMs = 300_000 }: KafkaDump,
  topics: readonly string[],
  onRecord: (record: DumpRecord) => void,
): Promise<void> {
  for (const topic of topics) {
    const take = ({ partition, offset, mq, key, value, headers }: Parameters<Scan>[0]) =>
      onRecord({
        cluster,
        topic,
        partition,
        offset,
        id: mq?.id ?? NO_ID,
        node: mq?.originNode.toString(16) ?? '',
        key: key?.toString(),
        value: value?.toString() ?? null,
        headers: headers.map(([name, bytes]) => [name, bytes.toString()] as const),
      });
    await scanTopic(brokers, topic, take, { timeoutMs });
  }
}

type Scan = Parameters<typeof scanTopic>[2];

/** Which cluster is read, and how long that may take for each topic. */
export interface KafkaDump {
  readonly brokers: string;
  readonly cluster?: 'primary' | 'backup';
  readonly timeoutMs?: number;
}

/** Every record of these topics of an embedded log, as TAIL gives it, in a stream. */
export async function dumpEmbedded(
  server: string,
  topics: readonly string[],
  onRecord: (record: DumpRecord) => void,
): Promise<void> {
  const client = await MqpClient.connect({ servers: [server] });
  try {
    for (const topic of topics) {
      const { partitions } = await client.describeTopic(topic);
      for (const { partition, startOffset, endOffset } of partitions) {
        if (endOffset === startOffset) continue;
        for await (const record of client.tail(topic, { from: 'beginning', partition })) {
          const { offset, id = NO_ID, key, value, headers } = record;
          onRecord({
            cluster: 'primary',
            topic,
            partition,
            offset,
            id,
            node: '',
            key: key === null ? undefined : Buffer.from(key).toString(),
            value: value === null ? null : Buffer.from(value).toString(),
            headers: headers.map(([name, bytes]) => [name, Buffer.from(bytes ?? []).toString()]),
          });
          if (offset === endOffset - 1) break;
        }
      }
    }
  } finally {
    await client.close();
  }
}
