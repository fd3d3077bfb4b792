import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { formatMessageId } from '../../protocol/src/message-id.ts';
import { coded } from '../../src/base/errors.ts';
import { openKafkaTail } from '../../src/native/kafka.ts';
import { tailRecords } from '../unit/native/kafka-records.ts';
import { cleanUp } from './clean-up.ts';
import type { Found } from './delivered.ts';
import { cacheDir, repoRoot } from './repo.ts';
import { GIVE_UP_MS, within } from './wait.ts';

/** For `test(title, { skip: skipWithoutMock() }, …)`. */
export function skipWithoutMock(): string | false {
  return process.platform === 'linux' ? false : 'the mock cluster is linked as on Linux';
}

const BEGINNING = 1;
const OFFSET = 0;

/**
 * Brokers of librdkafka's mock cluster in a process of their own. They keep what is produced and
 * give it back, and can do what a real cluster does rarely: lose a leader, elect one late. They
 * know nothing of topic settings, so a node must have learnt its topics elsewhere.
 */
export class MockKafka {
  /** `HOST:PORT,…` of its brokers, whose ids count from 1. */
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(address: string, child: ChildProcess, lines: AsyncIterator<string>) {
    this.address = address;
    this.#child = child;
    this.#lines = lines;
  }

  /** Starts one, and ends it after the test. */
  static async start(brokers: number): Promise<MockKafka> {
    const child = spawn(buildMock(), [String(brokers)], { stdio: ['pipe', 'pipe', 'ignore'] });
    cleanUp(
      () => void child.kill('SIGKILL'),
      () => void child.kill('SIGKILL'),
    );
    const reader: Interface = createInterface({ input: child.stdout });
    const lines = reader[Symbol.asyncIterator]();
    const first = await within(lines.next(), GIVE_UP_MS, 'the mock cluster');
    return new MockKafka(String(first.value).replace('bootstrap=', ''), child, lines);
  }

  /** One line of `test/fault/mock/mock-cluster.c`, `leader orders 0 2` for example. */
  async tell(line: string): Promise<void> {
    this.#child.stdin?.write(`${line}\n`);
    const { value } = await within(
      this.#lines.next(),
      GIVE_UP_MS,
      `the mock cluster to obey: ${line}`,
    );
    const { signalCode, exitCode } = this.#child;
    assert.equal(value, 'ok', `${line}; it ended with ${signalCode ?? exitCode}`);
  }

  /** Everything of a topic. */
  async read(topic: string, partitions: number): Promise<Found[]> {
    const tail = openKafkaTail({ config: { 'bootstrap.servers': this.address } });
    const found: Found[] = [];
    try {
      for (let partition = 0; partition < partitions; partition++) {
        const common = { topic, partition, bytesMax: 1 << 20 };
        let at = await tail.read({ ...common, from: BEGINNING, position: 0, waitMs: 1_000 });
        for (;;) {
          for (const { offset, id, value } of tailRecords(at.records)) {
            assert(id !== undefined, 'every record of ours carries its id');
            const { producer: producerId, epoch, sequence } = id;
            const name = formatMessageId({ producerId, epoch, sequence });
            found.push({ topic, partition, offset, id: name, value: `${value}` });
          }
          if (at.nextOffset >= at.endOffset) break;
          const position = at.nextOffset;
          at = await tail.read({ ...common, from: OFFSET, position, waitMs: 10_000 });
        }
      }
    } finally {
      await tail.close();
    }
    return found;
  }
}

/** Compiles it where its source changed; answers its path. */
function buildMock(): string {
  const source = join(repoRoot, 'test', 'fault', 'mock', 'mock-cluster.c');
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const program = join(cacheDir, 'mock', `mock-cluster-${hash}`);
  if (existsSync(program)) return program;
  mkdirSync(dirname(program), { recursive: true });
  // As binding.gyp has it: the shared library that the addon uses.
  const require = createRequire(join(repoRoot, 'package.json'));
  const rdkafka = dirname(require.resolve('node-rdkafka/package.json'));
  const library = join(rdkafka, 'build', 'deps', 'librdkafka.so.1');
  const include = join(rdkafka, 'deps', 'librdkafka', 'src');
  const fresh = `${program}.${process.pid}`;
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-isystem', include];
  const link = [library, `-Wl,-rpath,${dirname(library)}`];
  const args = [...flags, '-o', fresh, source, ...link];
  const { status, stderr, error } = spawnSync('cc', args, { encoding: 'utf8' });
  if (status !== 0) throw coded('MOCK_BUILD', `cc could not build it: ${error?.message ?? stderr}`);
  renameSync(fresh, program);
  return program;
}
