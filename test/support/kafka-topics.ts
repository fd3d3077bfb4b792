import kafkajs from 'kafkajs';
import { kafkaClient } from './kafka-read.ts';
import { uniqueTopic } from './topics.ts';
import { until } from './wait.ts';

/**
 * Creates topics of one partition whose replicas are on these brokers of the cluster, the preferred
 * leader first; `config` are settings of the topics.
 */
export function createOn(
  brokers: string,
  replicas: readonly number[],
  topics: readonly string[],
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  return create(brokers, [replicas], topics, config);
}

/** Creates a topic of as many partitions as `leaders`, each with one replica on that broker. */
export function createSpread(
  brokers: string,
  leaders: readonly number[],
  topic: string,
): Promise<void> {
  const partitions = leaders.map((broker) => [broker]);
  return create(brokers, partitions, [topic], {});
}

async function create(
  brokers: string,
  partitions: readonly (readonly number[])[],
  topics: readonly string[],
  config: Readonly<Record<string, string>>,
): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const replicaAssignment = partitions.map((replicas, partition) => ({
    partition,
    replicas: [...replicas],
  }));
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  await admin.createTopics({
    waitForLeaders: false,
    topics: topics.map((topic) => ({ topic, replicaAssignment, configEntries })),
  });
  await admin.disconnect();
}

/** Gives topics these settings, and their cluster's defaults for all others. */
export async function setTopics(
  brokers: string,
  topics: readonly string[],
  config: Readonly<Record<string, string>>,
): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  const type = kafkajs.ConfigResourceTypes.TOPIC;
  const resources = topics.map((name) => ({ type, name, configEntries }));
  await admin.alterConfigs({ validateOnly: false, resources });
  await admin.disconnect();
}

/**
 * Lets a topic take no batch of more bytes from now on: a broker learns of a setting after the
 * controller has answered, so another topic, changed behind this one, is tried until it refuses.
 */
export async function limitMessages(brokers: string, topic: string, bytes: number): Promise<void> {
  const probe = uniqueTopic('limit-probe');
  await createOn(brokers, [1], [probe]);
  const limit = { 'max.message.bytes': String(bytes) };
  await setTopics(brokers, [topic], limit);
  await setTopics(brokers, [probe], limit);
  const producer = kafkaClient(brokers).producer({ retry: { retries: 0 } });
  await producer.connect();
  const refuses = async (): Promise<boolean> => {
    try {
      await producer.send({ topic: probe, messages: [{ value: Buffer.alloc(bytes) }] });
      return false;
    } catch (error) {
      return (error as { type?: string }).type === 'MESSAGE_TOO_LARGE';
    }
  };
  await until(refuses, { what: `a limit of ${bytes} bytes to be kept` });
  await producer.disconnect();
}
