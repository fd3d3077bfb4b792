import {
  isPolicyName,
  longestWait,
  type RetrySettings,
  resolvePolicy,
} from '../consume/retry/retry-policy.ts';
import type { Config } from './schema.ts';
import { formatDuration } from './units.ts';

/** The faults of settings that are each right but do not fit together, a sentence each. */
export function checkTogether(config: Config): string[] {
  const { kafka, lane, limits, outbox, tls } = config;
  const rules: [wrong: boolean, fault: string][] = [
    [
      config.backend === 'kafka' && kafka.brokers.length === 0,
      'kafka.brokers: backend kafka needs at least one broker (--kafka.brokers HOST:PORT)',
    ],
    [!isPowerOfTwo(lane.ringBytes), 'lane.ringBytes: must be a power of two, such as 16MiB'],
    [
      lane.ringBytes < 2 * limits.frameBytesMax,
      'lane.ringBytes: must hold two frames of limits.frameBytesMax',
    ],
    [
      limits.frameBytesMax < limits.messageBytesMax + 1024,
      'limits.frameBytesMax: must be at least 1KiB more than limits.messageBytesMax',
    ],
    [
      limits.inFlightBytesMax < limits.frameBytesMax,
      'limits.inFlightBytesMax: must be at least limits.frameBytesMax',
    ],
    [
      limits.globalInFlightBytesMax < limits.inFlightBytesMax,
      'limits.globalInFlightBytesMax: must be at least limits.inFlightBytesMax',
    ],
    [
      outbox.hardBytesMax < outbox.bytesMax,
      'outbox.hardBytesMax: must be at least outbox.bytesMax',
    ],
    [
      (tls.cert === undefined) !== (tls.key === undefined),
      'tls: tls.cert and tls.key belong together',
    ],
    [
      (kafka.tls.cert === undefined) !== (kafka.tls.key === undefined),
      'kafka.tls: kafka.tls.cert and kafka.tls.key belong together',
    ],
    [
      config.auth.mechanism === 'token' && config.auth.tokensFile === undefined,
      'auth.tokensFile: auth.mechanism token needs it',
    ],
    [
      lacksLogin(kafka.sasl),
      'kafka.sasl: a mechanism needs username and password (or passwordFile)',
    ],
    [
      kafka.backup.brokers.length > 0 && config.backend !== 'kafka',
      'kafka.backup.brokers: a backup cluster needs backend kafka',
    ],
    [
      kafka.backup.brokers.some((address) => kafka.brokers.includes(address)),
      'kafka.backup.brokers: one of them is a broker of the primary cluster',
    ],
    [
      (kafka.backup.tls.cert === undefined) !== (kafka.backup.tls.key === undefined),
      'kafka.backup.tls: kafka.backup.tls.cert and kafka.backup.tls.key belong together',
    ],
    [
      lacksLogin(kafka.backup.sasl),
      'kafka.backup.sasl: a mechanism needs username and password (or passwordFile)',
    ],
  ];
  const ports = [config.listen, config.admin.listen].filter((at) => !at.endsWith(':0'));
  if (new Set(ports).size < ports.length) {
    rules.push([true, 'admin.listen: must differ from listen']);
  }
  const faults = rules.filter(([wrong]) => wrong).map(([, fault]) => fault);
  return [...faults, ...retryFaults(config.retry as RetrySettings, config.delay.enabled)];
}

function lacksLogin(sasl: Config['kafka']['sasl']): boolean {
  if (sasl.mechanism === 'none') return false;
  return sasl.username === undefined || sasl.password === undefined;
}

/** A policy is looked at as it works out: what it leaves out comes from the wider ones. */
function retryFaults(retry: RetrySettings, hasDelays: boolean): string[] {
  const faults: string[] = [];
  const names = Object.keys(retry.policies);
  for (const name of names.filter((one) => !isPolicyName(one))) {
    faults.push(`retry.policies.${name}: is TOPIC/GROUP, where * may end either, as orders/*`);
  }
  // A star is no letter of a name, so a pattern stands for all that fit it.
  const policies: [path: string, topic: string, group: string][] = [['retry', '', '']];
  for (const name of names.filter(isPolicyName)) {
    const [topic = '', group = ''] = name.split('/');
    policies.push([`retry.policies.${name}`, topic, group]);
  }
  for (const [path, topic, group] of policies) {
    const { backoff } = resolvePolicy(retry, topic, group);
    const longest = longestWait(backoff);
    if (longest > retry.inPlaceMax && !hasDelays) {
      const setting = backoff.table.length > 0 ? 'table' : 'max';
      faults.push(
        `${path}.backoff.${setting}: waits of ${formatDuration(longest)} are longer than ` +
          `retry.inPlaceMax (${formatDuration(retry.inPlaceMax)}): a message that leaves its place ` +
          'to wait is a delayed one, and delay.enabled is off',
      );
    }
    if (backoff.table.length === 0 && backoff.min > backoff.max) {
      faults.push(`${path}.backoff.min: must not be longer than its max`);
    }
  }
  return faults;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
