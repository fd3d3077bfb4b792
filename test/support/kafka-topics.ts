import kafkajs from 'kafkajs';
import { kafkaClient } from './kafka-read.ts';

/**
 * Creates topics of one partition whose replicas are on these brokers of the cluster, the preferred
 * leader first; `config` are settings of the topics.
 */
export async function createOn(
  brokers: string,
  replicas: readonly number[],
  topics: readonly string[],
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const replicaAssignment = [{ partition: 0, replicas: [...replicas] }];
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
