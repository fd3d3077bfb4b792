import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { coded, messageOf } from './base/errors.ts';
import type { Random } from './base/random.ts';
import { renderTopics } from './catalog/topics-file.ts';

/** Version of the data folder's layout. A newer one is refused, an older one is converted. */
export const FORMAT_VERSION = 1;

/** Names and ids of the topics; written empty at the first start, so that a lost one is noticed. */
const TOPICS = 'topics.json';

/** What `<dataDir>/node.json` says: what may not change under the stored messages. */
export interface NodeManifest {
  readonly format: number;
  /** 16 hex digits. */
  readonly nodeId: string;
  readonly backend: 'embedded' | 'kafka';
  readonly lanes: number;
  /** Kafka's own ids of the clusters it was used with; absent before one was reached. */
  readonly clusters?: { readonly primary?: string; readonly backup?: string };
}

/** What the configuration asks for. */
export interface ManifestRequest {
  readonly backend: 'embedded' | 'kafka';
  readonly lanes: 'auto' | number;
}

/** Folders of the data folder that only the node makes, and that hold messages. */
const OURS = ['lanes', 'delay'];

/**
 * Makes the data folder where there is none (mode 0700). One that is there and empty gets that mode
 * too, as what is ours in another has it; answers in words when others may look into the folder
 * all the same. @throws DATA_DIR_REFUSED
 */
export function makeDataDir(dataDir: string): string | undefined {
  try {
    makeFolder(resolve(dataDir));
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw coded('DATA_DIR_REFUSED', `the data folder cannot be used: ${messageOf(error)}`, {
      hint: 'give a folder this user may write to with --data-dir',
    });
  }
  for (const name of OURS) closeToOthers(join(dataDir, name));
  // What else somebody keeps in a folder is not for us to close.
  if (readdirSync(dataDir).length === 0) closeToOthers(dataDir);
  return isOpenToOthers(dataDir)
    ? `others may look into the data folder: chmod 700 ${resolve(dataDir)}`
    : undefined;
}

function isOpenToOthers(folder: string): boolean {
  return ((statSync(folder, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0;
}

/** Where that is not allowed (another user's folder) it stays as it is. */
function closeToOthers(folder: string): void {
  if (!isOpenToOthers(folder)) return;
  try {
    chmodSync(folder, 0o700);
  } catch {}
}

/**
 * Opens the data folder (mode 0700): the first start writes its manifest, later ones are held
 * against it. @throws DATA_DIR_REFUSED in words, with what to do
 */
export function openDataDir(
  dataDir: string,
  request: ManifestRequest,
  random: Random,
): NodeManifest {
  makeDataDir(dataDir);
  const path = join(dataDir, 'node.json');
  if (!existsSync(path)) {
    refuseWithout(path, existsSync(join(dataDir, 'lanes')));
    const manifest = firstManifest(request, random);
    if (!existsSync(join(dataDir, TOPICS))) {
      writeSynced(join(dataDir, TOPICS), renderTopics(1, []));
    }
    return writeManifest(dataDir, manifest);
  }
  const found = readManifest(dataDir);
  refuseWithout(join(dataDir, TOPICS), !existsSync(join(dataDir, TOPICS)));
  if (request.backend === found.backend) refuseManyLanes(request.backend, request.lanes);
  if (request.lanes !== 'auto' && request.lanes !== found.lanes) {
    throw coded(
      'DATA_DIR_REFUSED',
      `this data folder has ${found.lanes} lane(s), the configuration asks for ${request.lanes}`,
      {
        hint: `stop the node and run: mqproxy outbox relane ${request.lanes} --data-dir ${dataDir}`,
      },
    );
  }
  if (request.backend !== found.backend) return changeBackend(dataDir, found, request.backend);
  checkLaneFolders(dataDir, found);
  return found;
}

/**
 * Makes a folder and those above it. Not by `recursive`: that never returns where the file system
 * says ENOENT to a folder whose parent is there, as /proc does.
 */
function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** Reads the manifest of an existing data folder. @throws DATA_DIR_REFUSED */
export function readManifest(dataDir: string): NodeManifest {
  const path = join(dataDir, 'node.json');
  let manifest: NodeManifest;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8')) as NodeManifest;
  } catch (error) {
    throw coded('DATA_DIR_REFUSED', `${path} cannot be read: ${messageOf(error)}`);
  }
  if (!Number.isInteger(manifest.format) || manifest.format > FORMAT_VERSION) {
    throw coded(
      'DATA_DIR_REFUSED',
      `${path} has format ${manifest.format}; this version reads up to ${FORMAT_VERSION}`,
      { hint: 'run the newer version of mqproxy that wrote it' },
    );
  }
  const isWhole =
    /^[0-9a-f]{16}$/.test(manifest.nodeId) &&
    Number.isInteger(manifest.lanes) &&
    manifest.lanes >= 1 &&
    (manifest.backend === 'embedded' || manifest.backend === 'kafka');
  if (!isWhole) throw coded('DATA_DIR_REFUSED', `${path} does not name node, backend and lanes`);
  return manifest;
}

/** Writes the manifest durably: whole or not at all. */
export function writeManifest(dataDir: string, manifest: NodeManifest): NodeManifest {
  writeSynced(join(dataDir, 'node.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/**
 * Refuses when lanes that were opened before have no folder: they would begin anew, and what they
 * held would be gone without a word.
 * @throws CodedError STORE_CORRUPT with lane, expected and found
 */
function checkLaneFolders(dataDir: string, manifest: NodeManifest): void {
  const folders = Array.from({ length: manifest.lanes }, (_, i) =>
    join(dataDir, 'lanes', String(i)),
  );
  const missing = folders.findIndex((folder) => !existsSync(folder));
  // At the first start there is none; a crash in it leaves some, without any topic.
  if (missing < 0 || isUnused(dataDir)) return;
  throw coded(
    'STORE_CORRUPT',
    `lane ${missing}: expected ${manifest.lanes} lane(s), found no folder ${folders[missing]}`,
    { hint: 'bring it back from a copy; without it the messages it held are lost' },
  );
}

/** Whether no topic was ever noted, and so no message was ever taken. */
function isUnused(dataDir: string): boolean {
  try {
    return readFileSync(join(dataDir, TOPICS), 'utf8') === renderTopics(1, []);
  } catch {
    return false;
  }
}

function refuseWithout(path: string, isMissing: boolean): void {
  if (!isMissing) return;
  throw coded('DATA_DIR_REFUSED', `this data folder was in use, but it has no ${path}`, {
    hint: 'bring the file back from a copy, or give another --data-dir',
  });
}

/** Writes a file durably: whole or not at all. */
export function writeSynced(path: string, text: string): void {
  const draft = `${path}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  syncPath(draft);
  renameSync(draft, path);
  syncPath(dirname(path));
}

function firstManifest(request: ManifestRequest, random: Random): NodeManifest {
  const nodeId = Buffer.from(random.bytes(8)).toString('hex');
  const { backend } = request;
  // The embedded log has one writer, so that its offsets have one source.
  const auto = backend === 'embedded' ? 1 : Math.min(4, Math.max(1, cpus().length - 2));
  const lanes = request.lanes === 'auto' ? auto : request.lanes;
  refuseManyLanes(backend, lanes);
  return { format: FORMAT_VERSION, nodeId, backend, lanes };
}

function refuseManyLanes(backend: 'embedded' | 'kafka', lanes: 'auto' | number): void {
  if (backend !== 'embedded' || lanes === 'auto' || lanes === 1) return;
  throw coded('CONFIG_INVALID', `lanes: the embedded log has one lane, not ${lanes}`, {
    hint: 'leave `lanes` out, or use the kafka backend',
  });
}

function changeBackend(
  dataDir: string,
  found: NodeManifest,
  backend: 'embedded' | 'kafka',
): NodeManifest {
  if (existsSync(join(dataDir, 'lanes'))) {
    throw coded(
      'DATA_DIR_REFUSED',
      `this data folder belongs to the ${found.backend} backend and may hold messages of it`,
      { hint: `give another --data-dir, or go back to --backend ${found.backend}` },
    );
  }
  return writeManifest(dataDir, { ...found, backend });
}

/** Makes a file, or the names in a folder, durable. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
