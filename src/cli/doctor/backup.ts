import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { FileCatalog } from '../../catalog/file-catalog.ts';
import type { CatalogTopic } from '../../catalog/port.ts';
import type { Config } from '../../config/schema.ts';
import { type Finding, ok, warn } from './finding.ts';
import { checkKafka } from './kafka.ts';

const NAMED_MAX = 5;

/** Checks the backup cluster, and how its topics differ from the primary's, as the node knows. */
export async function checkBackup(config: Config): Promise<Finding[]> {
  const { backup } = config.kafka;
  if (backup.brokers.length === 0) return [];
  const asPrimary = { ...config, kafka: { ...config.kafka, ...backup } };
  const found = await checkKafka(asPrimary);
  const findings = found.map((finding) => ({ ...finding, area: 'backup' }));
  try {
    const catalog = await FileCatalog.open(join(config.dataDir, 'topics.json'), systemClock);
    findings.push(...differences(catalog.list('')));
  } catch (error) {
    findings.push(warn('backup', messageOf(error), 'look at topics.json in the data folder'));
  }
  return findings;
}

/** Findings about the topics of both clusters. */
export function differences(topics: readonly CatalogTopic[]): Finding[] {
  const used = topics.filter(({ clusters }) => clusters['primary']?.confirmed === true);
  const missing = used.filter(({ clusters }) => clusters['backup']?.confirmed !== true);
  const other = used.filter(({ clusters: { primary, backup } }) => {
    return backup?.confirmed === true && backup.partitions !== primary?.partitions;
  });
  const findings: Finding[] = [];
  if (missing.length > 0) {
    const advice = 'set failover.createTopics, or create them there: their messages would wait';
    findings.push(warn('backup', `not known on the backup: ${namesOf(missing)}`, advice));
  }
  if (other.length > 0) {
    const advice = 'give them the same number: keys go to other partitions there';
    findings.push(warn('backup', `other partitions on the backup: ${namesOf(other)}`, advice));
  }
  if (findings.length > 0) return findings;
  return [ok('backup', `the ${used.length} topics in use are the same on both clusters`)];
}

function namesOf(topics: readonly CatalogTopic[]): string {
  const names = topics.slice(0, NAMED_MAX).map(({ name }) => name);
  const more = topics.length - names.length;
  return names.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
