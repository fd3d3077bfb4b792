import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FileCatalog } from '../../../src/catalog/file-catalog.ts';
import type { TopicMetadata } from '../../../src/catalog/port.ts';
import { until } from '../../support/wait.ts';
import { ManualClock } from '../store/support.ts';

const metadata: TopicMetadata = {
  partitions: 4,
  messageBytesMax: 1_048_588,
  replicationFactor: 3,
  minInsyncReplicas: 2,
  config: { 'retention.ms': '1000' },
};

describe('FileCatalog', () => {
  let folder = '';
  const clock = new ManualClock();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'catalog-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const fresh = (name: string) => join(folder, `${name}.json`);

  test('gives ids from 1 and keeps them, with the metadata, over a restart', async () => {
    const path = fresh('ids');
    const first = await FileCatalog.open(path, clock);
    assert.equal((await first.record('a', 'primary', metadata)).id, 1);
    assert.equal((await first.record('b', 'primary', metadata)).id, 2);
    await first.close();
    const second = await FileCatalog.open(path, clock);
    assert.deepEqual(second.get('a'), {
      id: 1,
      name: 'a',
      clusters: { primary: { ...metadata, confirmed: true } },
    });
    assert.equal(second.byId(2)?.name, 'b');
    assert.equal((await second.record('c', 'primary', metadata)).id, 3);
    assert.equal((await second.record('a', 'backup', metadata)).id, 1);
  });

  test('shows nothing before it is on the disk', async () => {
    const path = fresh('durable');
    const catalog = await FileCatalog.open(path, clock);
    const pending = catalog.record('a', 'primary', metadata);
    assert.equal(catalog.get('a'), undefined);
    const twin = catalog.record('a', 'primary', metadata);
    assert.equal((await twin).id, (await pending).id);
    assert.match(await readFile(path, 'utf8'), /"name":"a"/);
    assert.equal(catalog.confirmed('a', 'primary'), true);
  });

  test('shares one write among many changes, and loses none', async () => {
    const path = fresh('many');
    const catalog = await FileCatalog.open(path, clock);
    const names = Array.from({ length: 500 }, (_, i) => `t${i}`);
    const topics = await Promise.all(
      names.map((name) => catalog.record(name, 'primary', metadata)),
    );
    assert.equal(new Set(topics.map((topic) => topic.id)).size, 500);
    const again = await FileCatalog.open(path, clock);
    assert.deepEqual(
      again.list('t').map((topic) => topic.name),
      names.toSorted(),
    );
    assert.deepEqual(again.list('t49').map((topic) => topic.name).length, 11);
  });

  test('keeps id and metadata of a topic that the cluster no longer has', async () => {
    const path = fresh('unconfirm');
    const catalog = await FileCatalog.open(path, clock);
    await catalog.record('a', 'primary', metadata);
    await catalog.unconfirm('a', 'primary');
    await catalog.unconfirm('never-seen', 'primary');
    assert.equal(catalog.confirmed('a', 'primary'), false);
    const again = await FileCatalog.open(path, clock);
    assert.equal(again.confirmed('a', 'primary'), false);
    assert.equal(again.get('a')?.clusters.primary?.partitions, 4);
    assert.equal((await again.record('a', 'primary', metadata)).id, 1);
    assert.equal(again.confirmed('a', 'primary'), true);
  });

  test('refuses a file that was changed, cut, or made by a later version', async () => {
    const path = fresh('corrupt');
    const catalog = await FileCatalog.open(path, clock);
    await catalog.record('orders', 'primary', metadata);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('orders', 'ordexs'));
    await assert.rejects(FileCatalog.open(path, clock), { code: 'CATALOG_CORRUPT' });
    await writeFile(path, text.slice(0, -10));
    await assert.rejects(FileCatalog.open(path, clock), { code: 'CATALOG_CORRUPT' });
    await writeFile(path, text.replace('"format":1', '"format":2'));
    await assert.rejects(FileCatalog.open(path, clock), { code: 'CATALOG_NEWER' });
  });

  test('a write that fails beside the file costs what it was to bring, and nothing after it', async () => {
    const gone = await mkdtemp(join(folder, 'gone-'));
    const path = join(gone, 'topics.json');
    const catalog = await FileCatalog.open(path, clock);
    await catalog.record('a', 'primary', metadata);
    await rename(gone, `${gone}-away`);
    const refused = { code: 'RETRY_LATER', message: /topics\.json: ENOENT.*repair the disk/ };
    const wider = { ...metadata, partitions: 9 };
    await assert.rejects(catalog.record('a', 'primary', wider), refused);
    await assert.rejects(catalog.unconfirm('a', 'primary'), refused);
    const twins = ['b', 'b'].map((name) => catalog.record(name, 'primary', metadata));
    for (const twin of twins) await assert.rejects(twin, refused);
    assert.match(catalog.failure?.message ?? '', /ENOENT/);
    assert.deepEqual([catalog.get('b'), catalog.confirmed('a', 'primary')], [undefined, true]);
    await rename(`${gone}-away`, gone);
    assert.equal((await catalog.record('c', 'primary', metadata)).name, 'c');
    assert.equal(catalog.failure, undefined);
    assert.equal(catalog.get('b'), undefined, 'its asker was refused');
    const again = await FileCatalog.open(path, clock);
    const kept = again.list('').map(({ name, clusters }) => [name, clusters.primary?.partitions]);
    assert.deepEqual(kept, [
      ['a', 4],
      ['c', 4],
    ]);
    assert.equal((await catalog.record('b', 'primary', wider)).clusters.primary?.partitions, 9);
  });

  test('a refused topic gives its id back', async () => {
    const gone = await mkdtemp(join(folder, 'ids-'));
    const path = join(gone, 'topics.json');
    const catalog = await FileCatalog.open(path, clock);
    await catalog.record('a', 'primary', metadata);
    await rename(gone, `${gone}-away`);
    for (let i = 0; i < 3; i++) {
      await assert.rejects(catalog.record('b', 'primary', metadata), { code: 'RETRY_LATER' });
    }
    await rename(`${gone}-away`, gone);
    assert.equal((await catalog.record('c', 'primary', metadata)).id, 2);
  });

  test('who said the same as a refused change is not told that it is there', async () => {
    const gone = await mkdtemp(join(folder, 'twin-'));
    const catalog = await FileCatalog.open(join(gone, 'topics.json'), clock);
    await catalog.record('a', 'primary', metadata);
    await rename(gone, `${gone}-away`);
    const wider = { ...metadata, partitions: 9 };
    const first = catalog.record('a', 'primary', wider);
    // The write is under way from the next turn on.
    await Promise.resolve();
    const other = catalog.record('b', 'primary', metadata);
    const twin = catalog.record('a', 'primary', wider);
    await assert.rejects(first, { code: 'RETRY_LATER' });
    renameSync(`${gone}-away`, gone);
    assert.equal((await other).name, 'b');
    assert.equal((await twin).clusters.primary?.partitions, 9);
  });

  test('sees by itself that the disk is well again', async () => {
    const gone = await mkdtemp(join(folder, 'well-'));
    const catalog = await FileCatalog.open(join(gone, 'topics.json'), clock);
    await rename(gone, `${gone}-away`);
    await assert.rejects(catalog.record('a', 'primary', metadata), { code: 'RETRY_LATER' });
    const refused = catalog.failure;
    clock.advance(1_000);
    await until(() => catalog.failure !== refused, { what: 'a second failure' });
    await rename(`${gone}-away`, gone);
    const second = catalog.failure;
    clock.advance(1_999);
    assert.equal(catalog.failure, second, 'it waits longer each time');
    clock.advance(1);
    await until(() => catalog.failure === undefined, { what: 'the end of the failure' });
    assert.deepEqual(catalog.list(''), []);
    await catalog.close();
  });

  test('a file that could not be put in its place is written again', async () => {
    const path = fresh('in-the-way');
    const catalog = await FileCatalog.open(path, clock);
    await mkdir(join(path, 'in-the-way'), { recursive: true });
    const refused = { code: 'RETRY_LATER', retryAfterMs: 1_000 };
    await assert.rejects(catalog.record('a', 'primary', metadata), refused);
    await rm(path, { recursive: true });
    assert.equal((await catalog.record('b', 'primary', metadata)).id, 1);
  });

  test('a file that may be the old or the new one is written no more', async (t) => {
    const path = fresh('lost');
    const catalog = await FileCatalog.open(path, clock);
    await catalog.record('a', 'primary', metadata);
    const handle = await open(folder, 'r');
    const { mock } = t.mock.method(Object.getPrototypeOf(handle), 'sync');
    await handle.close();
    // The second sync of a write is that of the folder.
    mock.mockImplementationOnce(() => Promise.reject(new Error('EIO')), 1);
    const lost = {
      code: 'CATALOG_FAILED',
      message: /start the node again/,
      retryAfterMs: undefined,
    };
    await assert.rejects(catalog.record('b', 'primary', metadata), lost);
    await assert.rejects(catalog.record('c', 'primary', metadata), lost);
    assert.equal(mock.callCount(), 2, 'nothing is written any more');
    assert.deepEqual([catalog.get('b'), catalog.failure?.code], [undefined, 'CATALOG_FAILED']);
  });

  test('leaves no file beside the one it keeps', async () => {
    assert.equal(
      (await readdir(folder)).some((name) => name.endsWith('.new')),
      false,
    );
  });
});
