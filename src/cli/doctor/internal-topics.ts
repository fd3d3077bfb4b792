import kafkajs, { type Admin, type ITopicMetadata } from 'kafkajs';
import {
  faultsOf,
  faultWords,
  type TopicFault,
  thinAdvice,
  thinnessOf,
  thinWords,
} from '../../backend/internal-topic-check.ts';
import type { InternalTopicSpec } from '../../backend/publisher-port.ts';
import { messageOf } from '../../base/errors.ts';
import type { Config } from '../../config/schema.ts';
import { isRetryTopic } from '../../consume/retry/retry-record.ts';
import { internalTopics, retryTopicConfig, sideTopicConfig } from '../../internal-topics.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** Topics of dead letters, and of what was put off, that are looked at. */
const sideTopicsMax = 200;
const area = 'topics';

/**
 * Compares the topics in which nodes keep their own state, and those of dead letters and of what
 * was put off, with what they must be: what a node compares when it takes the role.
 */
export async function checkInternalTopics(
  admin: Admin,
  { topics, brokers }: { topics: readonly ITopicMetadata[]; brokers: number },
  config: Config,
): Promise<Finding[]> {
  const there = new Map(topics.map((topic) => [topic.name, topic]));
  const specs = internalTopics(config).filter(({ name }) => there.has(name));
  try {
    specs.push(...(await sideTopics(admin, topics, config)));
    if (specs.length === 0) return [ok(area, 'no internal topic was made yet')];
    return compare(specs, { there, brokers, settings: await settingsOf(admin, specs) });
  } catch (error) {
    const found = `the settings of internal topics cannot be read: ${messageOf(error)}`;
    return [warn(area, found, 'let this login describe the settings of topics')];
  }
}

interface Found {
  readonly there: ReadonlyMap<string, ITopicMetadata>;
  readonly brokers: number;
  readonly settings: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

function compare(specs: readonly InternalTopicSpec[], found: Found): Finding[] {
  const { there, brokers, settings } = found;
  const findings = specs.flatMap((spec): Finding[] => {
    const { partitions = [] } = there.get(spec.name) ?? {};
    const replicationFactor = Math.min(...partitions.map(({ replicas }) => replicas.length));
    const faults = faultsOf(spec, {
      partitions: partitions.length,
      replicationFactor,
      settings: settings.get(spec.name) ?? new Map(),
    });
    const thin = thinnessOf(spec, { replicationFactor, brokers });
    return [
      ...faults.map(refused),
      ...(thin === undefined ? [] : [warn(area, thinWords(thin), thinAdvice(thin))]),
    ];
  });
  if (findings.length > 0) return findings;
  return [ok(area, `${specs.length} internal topics are as they must be`)];
}

function refused(fault: TopicFault): Finding {
  const { topic, setting, needed } = fault;
  const advice = `set ${setting} of ${topic} to ${needed}: nodes refuse what needs it until then`;
  return fail(area, faultWords(fault), advice);
}

async function settingsOf(
  admin: Admin,
  specs: readonly InternalTopicSpec[],
): Promise<Map<string, ReadonlyMap<string, string>>> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: specs.map(({ name, config }) => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name,
      configNames: Object.keys(config),
    })),
  });
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  );
}

/** Those of groups that are known, by their names: other topics may end so too. */
async function sideTopics(
  admin: Admin,
  topics: readonly ITopicMetadata[],
  config: Config,
): Promise<InternalTopicSpec[]> {
  const isSide = topics.filter(({ name }) => /\.(dlq|retry)$/.test(name));
  if (isSide.length === 0) return [];
  const { groups } = await admin.listGroups();
  const specs: InternalTopicSpec[] = [];
  for (const { name, partitions } of isSide) {
    const needed = neededOf(name, groups, config);
    if (needed === undefined) continue;
    specs.push({
      name,
      partitions: partitions.length,
      config: needed,
      replicationFactor: config.deadLetters.replicationFactor,
    });
    if (specs.length === sideTopicsMax) break;
  }
  return specs;
}

/** What a topic must have by its name; undefined: it is of none of these groups. */
function neededOf(
  name: string,
  groups: readonly { readonly groupId: string }[],
  config: Config,
): InternalTopicSpec['config'] | undefined {
  for (const { groupId: group } of groups) {
    if (name.endsWith(`.${group}.dlq`)) return sideTopicConfig(config);
    if (isRetryTopic(name, group)) return retryTopicConfig(config, { topic: name, group });
  }
  return undefined;
}
