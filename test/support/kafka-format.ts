import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from './repo.ts';

/**
 * What Kafka's tool wrote into the first data folder that it made: it names no broker. Lies beside
 * the jars, to go with them.
 */
const kept = join(cacheDir, 'kafka', 'libs', 'bootstrap.checkpoint');
const name = 'bootstrap.checkpoint';

/** Any 16 bytes in base64url name a cluster or a folder; two of a test must not have one name. */
export function newKafkaId(): string {
  return Buffer.from(randomBytes(8).toString('hex')).toString('base64url');
}

/** Keeps what the tool wrote, for {@link formatAsBefore}. */
export function keepFormat(data: string): void {
  const copy = `${kept}.${process.pid}`;
  copyFileSync(join(data, name), copy);
  renameSync(copy, kept);
}

/**
 * Makes a broker's data folder as Kafka's tool would, which takes half as long as a broker's start
 * and a run starts dozens. False when the tool has to be run, since it never was.
 */
export function formatAsBefore(data: string, settings: string, cluster: string): boolean {
  if (!existsSync(kept)) return false;
  const [, node = '1'] = /^node\.id=(.*)$/m.exec(readFileSync(settings, 'utf8')) ?? [];
  const lines = [
    `node.id=${node}`,
    `directory.id=${newKafkaId()}`,
    'version=1',
    `cluster.id=${cluster}`,
  ];
  mkdirSync(data);
  writeFileSync(join(data, 'meta.properties'), `${lines.join('\n')}\n`);
  copyFileSync(kept, join(data, name));
  return true;
}
