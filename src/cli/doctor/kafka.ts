import { readFileSync } from 'node:fs';
import kafkajs, { type Admin, type KafkaConfig, type SASLOptions } from 'kafkajs';
import { systemClock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { Config } from '../../config/schema.ts';
import { askApiVersions, isRecentEnough, releaseOf } from './api-versions.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import { checkInternalTopics } from './internal-topics.ts';

const { ConfigResourceTypes, Kafka, logLevel } = kafkajs;
const timeoutMs = 4000;
/** Topics whose settings are asked for; the rest is only counted. */
const describedTopicsMax = 200;
const namedTopicsMax = 5;

/** Checks the brokers one by one, then the cluster and its topics. */
export async function checkKafka(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const broker of config.kafka.brokers) findings.push(await checkBroker(broker, config));
  if (findings.every(({ level }) => level === 'fail')) return findings;
  try {
    findings.push(...(await checkCluster(config)));
  } catch (error) {
    const advice = 'check kafka.sasl and kafka.tls, and that advertised.listeners can be reached';
    findings.push(fail('kafka', `the cluster does not answer: ${messageOf(error)}`, advice));
  }
  return findings;
}

async function checkBroker(broker: string, config: Config): Promise<Finding> {
  try {
    const tls = config.kafka.tls.enabled ? tlsOf(config) : undefined;
    const versions = await askApiVersions({ broker, tls, timeoutMs, clock: systemClock });
    const release = releaseOf(versions);
    if (isRecentEnough(versions)) return ok('kafka', `${broker} answers, Kafka ${release}`);
    return fail('kafka', `${broker} is Kafka ${release}`, 'update it to 2.1 or newer');
  } catch (error) {
    const found = `${broker} cannot be used: ${messageOf(error)}`;
    return fail('kafka', found, adviceOn(codeOf(error)));
  }
}

function adviceOn(code: string): string {
  if (/^(ENOTFOUND|EAI_AGAIN)$/.test(code)) {
    return 'no such host: is the name in kafka.brokers right, and does this machine resolve it?';
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'name the broker in kafka.brokers as its certificate does';
  }
  if (/CERT|ISSUER|SIGNATURE/.test(code)) {
    return 'name the authority that signed its certificate by kafka.tls.ca';
  }
  return 'is it running, and is kafka.tls.enabled right for this port?';
}

async function checkCluster(config: Config): Promise<Finding[]> {
  const admin = new Kafka(clientConfig(config)).admin();
  await admin.connect();
  try {
    const { brokers, clusterId } = await admin.describeCluster();
    const { topics } = await admin.fetchTopicMetadata();
    const own = topics.filter(({ name }) => !name.startsWith('__'));
    const findings = [
      ok('kafka', `cluster ${clusterId}: ${brokers.length} brokers, ${own.length} topics`),
    ];
    const single = own.filter(({ partitions }) => partitions.some((it) => it.replicas.length < 2));
    if (brokers.length < 2) {
      const advice = '`replicated` means one copy here: use at least 3 brokers to survive a loss';
      findings.push(warn('kafka', 'the cluster has one broker', advice));
    } else if (single.length > 0) {
      const found = `replication factor below 2: ${namesOf(single)}`;
      findings.push(warn('topics', found, 'reassign them to 3 replicas'));
    }
    const leaderless = own.filter(({ partitions }) => partitions.some((it) => it.leader < 0));
    if (leaderless.length > 0) {
      const found = `partitions without a leader: ${namesOf(leaderless)}`;
      findings.push(fail('topics', found, 'bring their brokers back; messages wait meanwhile'));
    }
    const replicated = own.filter((topic) => !single.includes(topic)).slice(0, describedTopicsMax);
    if (replicated.length > 0) findings.push(...(await checkInSync(admin, replicated)));
    findings.push(
      ...(await checkInternalTopics(admin, { topics, brokers: brokers.length }, config)),
    );
    return findings;
  } finally {
    await admin.disconnect();
  }
}

type Named = { readonly name: string };

async function checkInSync(admin: Admin, topics: readonly Named[]): Promise<Finding[]> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ name }) => ({
      type: ConfigResourceTypes.TOPIC,
      name,
      configNames: ['min.insync.replicas'],
    })),
  });
  const low = resources
    .filter(({ configEntries }) => Number(configEntries[0]?.configValue ?? 1) < 2)
    .map(({ resourceName }) => ({ name: resourceName }));
  if (low.length === 0) return [ok('topics', 'min.insync.replicas is at least 2')];
  const found = `min.insync.replicas below 2: ${namesOf(low)}`;
  return [warn('topics', found, 'set it to 2, else acks=all may mean one copy')];
}

function namesOf(topics: readonly Named[]): string {
  const names = topics.slice(0, namedTopicsMax).map(({ name }) => name);
  const more = topics.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function clientConfig(config: Config): KafkaConfig {
  const { kafka } = config;
  return {
    clientId: 'mqproxy-doctor',
    brokers: [...kafka.brokers],
    connectionTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    retry: { retries: 1 },
    logLevel: logLevel.NOTHING,
    ...(kafka.tls.enabled ? { ssl: tlsOf(config) } : {}),
    ...(kafka.sasl.mechanism === 'none' ? {} : { sasl: saslOf(config) }),
  };
}

function saslOf({ kafka: { sasl } }: Config): SASLOptions {
  const login = { username: sasl.username ?? '', password: sasl.password ?? '' };
  if (sasl.mechanism === 'SCRAM-SHA-256') return { mechanism: 'scram-sha-256', ...login };
  if (sasl.mechanism === 'SCRAM-SHA-512') return { mechanism: 'scram-sha-512', ...login };
  return { mechanism: 'plain', ...login };
}

function tlsOf({ kafka: { tls } }: Config): { ca?: string[]; cert?: string; key?: string } {
  return {
    ...(tls.ca === undefined ? {} : { ca: [readFileSync(tls.ca, 'utf8')] }),
    ...(tls.cert === undefined ? {} : { cert: readFileSync(tls.cert, 'utf8') }),
    ...(tls.key === undefined ? {} : { key: readFileSync(tls.key, 'utf8') }),
  };
}
