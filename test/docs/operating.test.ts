import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { Histogram } from '../../src/base/histogram.ts';
import { exitCodes } from '../../src/cli/exit-code.ts';
import { BlockTimers } from '../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../src/consume/lease/window-state.ts';
import { ConsumeStats } from '../../src/consume/partition/consume-stats.ts';
import type { DelayReport } from '../../src/http/delay-metrics.ts';
import { NodeMetrics } from '../../src/http/node-metrics.ts';
import { LaneStats } from '../../src/produce/intake/lane-stats.ts';
import { Tokens } from '../../src/server/tokens.ts';
import { blocksOf, tableRows } from '../support/markdown.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const page = readFileSync(join(repoRoot, 'docs', 'operating.md'), 'utf8');

/** Metrics that prom-client makes for every process; the page names them as a whole. */
const isOfProcess = (name: string): boolean => /^mqproxy_(process|nodejs)_/.test(name);

/** A metric as `name type labels`. */
function documented(): string[] {
  return tableRows(page, '## Metrics')
    .map(([name = '', type = '', labels = '']) => `${name.replaceAll('`', '')} ${type} ${labels}`)
    .sort();
}

/** The same of a scrape; labels of a metric without samples are not known. */
function exposed(text: string): string[] {
  const metrics: string[] = [];
  for (const [, name = '', type = ''] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (isOfProcess(name)) continue;
    const sample = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'm').exec(text)?.[1] ?? '';
    const labels = [...sample.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
    metrics.push(`${name} ${type} ${labels.filter((label) => label !== 'le').join(', ')}`);
  }
  return metrics.sort();
}

/** Every metric there can be, each with a sample. */
async function possible(): Promise<string> {
  const report = new Proxy({} as DelayReport, {
    get: (_, name) => (name === 'lateMs' ? new Histogram([]) : 0),
  });
  const lane = new LaneStats();
  lane.refuse(33, 1);
  lane.storeTopic(1, 1);
  const window = new LeaseWindow({
    mode: 'shared',
    floor: 0,
    heldMax: 1,
    timers: new BlockTimers<WindowState>(0),
  });
  const place = { cluster: 0, topic: 'orders' } as const;
  const partition = { ...place, lag: 0, floorSinceMs: 0, window, commitFault: undefined };
  const group = { name: 'billing', subs: [] };
  const groups = {
    stats: new ConsumeStats(),
    nowMs: 0,
    groups: new Map([['billing', group]]),
    owned: () => [{ partition, group }],
  };
  const server = { connections: 0, inFlightMessages: 0, inFlightBytes: 0 };
  const metrics = new NodeMetrics({
    lanes: [lane],
    server: () => ({ ...server, accepted: 0, refused: 0, violations: 0 }),
    topics: () => [{ id: 1, name: 'orders' }],
    backendReachable: () => true,
    delays: () => [report],
    deadLetters: {
      numbers: {
        retries: { nack: 1 },
        moved: { nack: 1 },
        moveFailures: 0,
        putOff: 0,
        expired: 0,
        blocked: 0,
      },
      budgets: () => [{ topic: 'orders', group: 'billing', tokens: 1, isHolding: false }],
    },
    consume: () => groups,
  });
  return (await metrics.text()).text;
}

test('the table of metrics names every metric with its type and labels, and no other', async () => {
  assert.deepEqual(documented(), exposed(await possible()));
});

test('a running node exposes every metric of the table, and no other', async () => {
  const { mqp, admin } = await startServer();
  const client = await MqpClient.connect({ servers: [`${mqp.host}:${mqp.port}`] });
  await client.produce('orders', { value: 'one' });
  const refused = client.produce('orders', { value: 'two', headers: [['mq-x', 'reserved']] });
  await assert.rejects(refused, { code: 'RESERVED_HEADER' });
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  let text = '';
  for await (const message of consumer) {
    await message.ack();
    // Here: the end of the loop ends the subscription, and its partitions' metrics.
    const answer = await fetch(`http://${admin.host}:${admin.port}/metrics`);
    text = await answer.text();
    break;
  }
  await client.close();
  assert.deepEqual(exposed(text), documented());
});

test('the tables of pages and exit codes are those of the program', async () => {
  const { admin } = await startServer();
  for (const [path = ''] of tableRows(page, '## Health')) {
    const url = `http://${admin.host}:${admin.port}${path.replaceAll('`', '')}`;
    assert.equal((await fetch(url)).status, 200, url);
  }
  const codes = tableRows(page, '## Signals and exit codes').map(([code]) => Number(code));
  const known = codes.filter((code) => !Number.isNaN(code)).sort((a, b) => a - b);
  assert.deepEqual(
    known,
    Object.values(exitCodes).sort((a, b) => a - b),
  );
});

test('the tokens file of the page is read, and gives what it says', () => {
  const [block] = blocksOf(page).filter(({ info }) => info === 'yaml');
  const file = join(tempDir(), 'tokens.yaml');
  writeFileSync(file, block?.text ?? '');
  const tokens = Tokens.read(file);
  const billing = tokens.find(Buffer.from('3f9c1b7e5a2d48c6'));
  const grant = { prefix: 'orders.', produce: true, consume: true, create: false };
  assert.deepEqual(billing, { name: 'billing', grants: [grant] });
  assert.equal(tokens.find(Buffer.from('3f9c1b7e5a2d48c7')), undefined);
});

test('the dashboard and the pages speak only of metrics that there are', async () => {
  const { admin } = await startServer();
  const answer = await fetch(`http://${admin.host}:${admin.port}/metrics`);
  const text = (await answer.text()) + (await possible());
  const known = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name));
  for (const file of ['deploy/grafana-dashboard.json', 'docs/operating.md']) {
    const named = readFileSync(join(repoRoot, file), 'utf8').matchAll(/\bmqproxy_\w+(?!\w|…)/g);
    for (const [name] of named) {
      const family = known.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
      assert.ok(known.has(family), `${file}: there is no metric ${name}`);
    }
  }
});

test('the dashboard shows every histogram of the table', () => {
  const dashboard = readFileSync(join(repoRoot, 'deploy', 'grafana-dashboard.json'), 'utf8');
  const missing = documented()
    .filter((line) => line.split(' ')[1] === 'histogram')
    .map((line) => `${line.split(' ')[0]}_bucket`)
    .filter((name) => !dashboard.includes(name));
  assert.deepEqual(missing, []);
});
