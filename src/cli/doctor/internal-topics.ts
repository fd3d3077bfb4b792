import kafkajs, { type Admin, type ITopicMetadata } from 'kafkajs';
import { faultsOf, faultWords } from '../../backend/internal-topic-check.ts';
import type { InternalTopicSpec } from '../../backend/publisher-port.ts';
import { messageOf } from '../../base/errors.ts';
import type { Config } from '../../config/schema.ts';
import { internalTopics, sideTopicConfig } from '../../internal-topics.ts';
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
  topics: readonly ITopicMetadata[],
  config: Config,
): Promise<Finding[]> {
  const there = new Map(topics.map((topic) => [topic.name, topic]));
  const specs = internalTopics(config).filter(({ name }) => there.has(name));
  try {
    specs.push(...(await sideTopics(admin, topics, config)));
    if (specs.length === 0) return [ok(area, 'no internal topic was made yet')];
    return compare(specs, there, await settingsOf(admin, specs));
  } catch (error) {
    const found = `the settings of internal topics cannot be read: ${messageOf(error)}`;
    return [warn(area, found, 'let this login describe the settings of topics')];
  }
}

function compare(
  specs: readonly InternalTopicSpec[],
  there: ReadonlyMap<string, ITopicMetadata>,
  settings: ReadonlyMap<string, ReadonlyMap<string, string>>,
): Finding[] {
  const faults = specs.flatMap((spec) => {
    const { partitions = [] } = there.get(spec.name) ?? {};
    return faultsOf(spec, {
      partitions: partitions.length,
      replicationFactor: Math.min(...partitions.map(({ replicas }) => replicas.length)),
      settings: settings.get(spec.name) ?? new Map(),
    });
  });
  if (faults.length === 0) {
    return [ok(area, `${specs.length} internal topics are as they must be`)];
  }
  return faults.map((fault) => {
    const { topic, setting, needed } = fault;
    const advice = `set ${setting} of ${topic} to ${needed}: nodes refuse what needs it until then`;
    return fail(area, faultWords(fault), advice);
  });
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
  const endings = groups.flatMap(({ groupId }) => [`.${groupId}.dlq`, `.${groupId}.retry`]);
  return isSide
    .filter(({ name }) => endings.some((ending) => name.endsWith(ending)))
    .slice(0, sideTopicsMax)
    .map(({ name, partitions }) => ({
      name,
      partitions: partitions.length,
      config: sideTopicConfig(config),
      isPublic: true,
      replicationFactor: config.deadLetters.replicationFactor,
    }));
}
