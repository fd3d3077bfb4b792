import { coded } from '../../base/errors.ts';
import type { CompactionLimits } from './compaction.ts';
import type { EmbeddedTopic } from './embedded-log.ts';

const whole = (from: number, orForEver = false) => ({
  read: (value: string) => wholeNumber(value, { from, orForEver }),
});

/** The settings a topic of the embedded log may have; the names are Kafka's. */
const readers: Readonly<Record<string, { read(value: string): number | undefined }>> = {
  'retention.ms': whole(1, true),
  'retention.bytes': whole(1, true),
  'max.message.bytes': whole(1),
  'cleanup.policy': { read: (value) => (policies.includes(value) ? 0 : Number.NaN) },
  'delete.retention.ms': whole(0),
  'min.cleanable.dirty.ratio': {
    read: (value) => (/^(0(\.\d+)?|1(\.0+)?)$/.test(value) ? Number(value) : Number.NaN),
  },
  'max.compaction.lag.ms': whole(1),
};
const policies = ['delete', 'compact', 'compact,delete', 'delete,compact'];
const dayMs = 24 * 3600 * 1000;

/** True for a setting that the embedded log has. */
export function isTopicSetting(name: string): boolean {
  return Object.hasOwn(readers, name);
}

/** @throws INVALID_ARGUMENT for a setting that is not known, or not a value in its range. */
export function checkTopicConfig(config: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(config)) {
    const reader = isTopicSetting(name) ? readers[name] : undefined;
    if (reader === undefined) {
      throw coded(
        'INVALID_ARGUMENT',
        `the embedded log has no topic setting ${name}; it has ${Object.keys(readers).join(', ')}`,
      );
    }
    if (Number.isNaN(reader.read(value))) {
      throw coded('INVALID_ARGUMENT', `topic setting ${name} cannot be ${JSON.stringify(value)}`);
    }
  }
}

/** The retention a checked config asks for. A topic that is only compacted is kept for ever. */
export function retentionOf(
  config: Readonly<Record<string, string>>,
): NonNullable<EmbeddedTopic['retention']> {
  if (config['cleanup.policy'] === 'compact') return { ms: undefined, bytes: undefined };
  const ms = config['retention.ms'];
  const bytes = config['retention.bytes'];
  return {
    ...(ms === undefined ? {} : { ms: readers['retention.ms']?.read(ms) }),
    ...(bytes === undefined ? {} : { bytes: readers['retention.bytes']?.read(bytes) }),
  };
}

/** True when a checked config says that only the newest record of a key counts. */
export function isCompacted(config: Readonly<Record<string, string>>): boolean {
  return config['cleanup.policy']?.includes('compact') ?? false;
}

/** How a checked config wants its log compacted; undefined: not at all. */
export function compactionOf(
  config: Readonly<Record<string, string>>,
): CompactionLimits | undefined {
  if (!isCompacted(config)) return undefined;
  const lagMs = config['max.compaction.lag.ms'];
  return {
    tombstoneMs: Number(config['delete.retention.ms'] ?? dayMs),
    dirtyRatio: Number(config['min.cleanable.dirty.ratio'] ?? 0.5),
    lagMs: lagMs === undefined ? undefined : Number(lagMs),
  };
}

/** The size limit a checked config asks for, in bytes; undefined when it says nothing. */
export function messageBytesMaxOf(config: Readonly<Record<string, string>>): number | undefined {
  const value = config['max.message.bytes'];
  return value === undefined ? undefined : Number(value);
}

interface Range {
  readonly from: number;
  /** -1 stands for no limit, which is given as undefined. */
  readonly orForEver: boolean;
}

/** NaN when it is not one. */
function wholeNumber(value: string, range: Range): number | undefined {
  if (range.orForEver && value === '-1') return undefined;
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  return number >= range.from ? number : Number.NaN;
}
