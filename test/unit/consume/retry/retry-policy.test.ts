import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isPolicyName,
  longestWait,
  type PolicyOverride,
  type RetrySettings,
  resolvePolicy,
} from '../../../../src/consume/retry/retry-policy.ts';
import { fc } from '../../../support/fast-check.ts';
import { seed } from '../../../support/seeded.ts';

const general: RetrySettings = {
  attempts: 16,
  backoff: { min: 1000, max: 600_000, jitterPercent: 20, table: [] },
  inPlaceMax: 600_000,
  onExhausted: 'dead',
  ttl: 'off',
  budget: { burst: 1000, perMinute: 60, perHundredAcks: 10 },
  policies: {},
};

function settings(policies: Record<string, PolicyOverride>): RetrySettings {
  return { ...general, policies };
}

test('without a pattern the general policy holds', () => {
  const { policies, ...policy } = general;
  assert.deepEqual(resolvePolicy(general, 'orders', 'billing'), policy);
  assert.deepEqual(policies, {});
});

test('the most specific pattern wins, field by field', () => {
  const found = resolvePolicy(
    settings({
      '*/*': { attempts: 1, ttl: 1000, onExhausted: 'block' },
      'orders/*': { attempts: 2, ttl: 2000 },
      'orders/billing': { attempts: 3 },
      '*/billing': { attempts: 4, ttl: 4000, onExhausted: 'dead' },
      'orders.*/billing': { attempts: 5 },
    }),
    'orders',
    'billing',
  );
  assert.equal(found.attempts, 3);
  assert.equal(found.ttl, 2000);
  assert.equal(found.onExhausted, 'dead');
});

test('a longer prefix goes before a shorter one', () => {
  const policies = settings({ 'a*/g': { attempts: 1 }, 'a.b*/*': { attempts: 2 } });
  assert.equal(resolvePolicy(policies, 'a.b.c', 'g').attempts, 2);
  assert.equal(resolvePolicy(policies, 'a.c', 'g').attempts, 1);
  assert.equal(resolvePolicy(policies, 'b', 'g').attempts, 16);
});

test('a policy that names the ends of the exponential drops a wider table', () => {
  const policies = settings({
    '*/*': { backoff: { table: [5, 6] } },
    'a/*': { backoff: { max: 2000 } },
  });
  assert.equal(longestWait(resolvePolicy(policies, 'a', 'g').backoff), 2000);
  assert.equal(longestWait(resolvePolicy(policies, 'b', 'g').backoff), 6);
});

test('a name of a policy has a topic and a group, and stars only at their ends', () => {
  for (const good of ['a/b', '*/b', 'a/*', 'a.b-*/c_*', '*/*']) assert.ok(isPolicyName(good), good);
  for (const bad of ['a', 'a/', '/b', 'a*b/c', 'a/b/c', 'a b/c', '**/c', '']) {
    assert.ok(!isPolicyName(bad), bad);
  }
});

/** The naive twin: every pattern is scored, and of each field the best that sets it is taken. */
function naive(policies: Record<string, PolicyOverride>, topic: string, group: string): number {
  let best = -1;
  let attempts = general.attempts;
  for (const [name, override] of Object.entries(policies)) {
    const [t = '', g = ''] = name.split('/');
    const match = (part: string, whole: string): number => {
      if (!part.endsWith('*')) return part === whole ? 1000 : -1;
      return whole.startsWith(part.slice(0, -1)) ? part.length : -1;
    };
    const [a, b] = [match(t, topic), match(g, group)];
    if (a < 0 || b < 0 || override.attempts === undefined) continue;
    if (a * 10_000 + b > best) {
      best = a * 10_000 + b;
      attempts = override.attempts;
    }
  }
  return attempts;
}

test('any set of patterns resolves as its naive twin', () => {
  const name = fc.stringMatching(/^[ab]{1,3}$/);
  const part = fc.oneof(
    name,
    fc.stringMatching(/^[ab]{0,2}$/).map((text) => `${text}*`),
  );
  const policy = fc.tuple(part, part, fc.option(fc.integer({ min: 1, max: 99 })));
  const property = fc.property(fc.array(policy, { maxLength: 12 }), name, name, (list, t, g) => {
    const policies = Object.fromEntries(
      list.map(([a, b, attempts]) => [`${a}/${b}`, attempts === null ? {} : { attempts }]),
    );
    assert.equal(resolvePolicy(settings(policies), t, g).attempts, naive(policies, t, g));
  });
  fc.assert(property, { numRuns: 500, seed });
});
