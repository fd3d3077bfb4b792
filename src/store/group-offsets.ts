import assert from 'node:assert';
import { coded } from '../base/errors.ts';
import type { Crc32c } from './batch-header.ts';
import type { KeyValueOp, KeyValueStore } from './key-value-store.ts';
import { kindRange, readU64, sealed, unsealed, writeU64 } from './keys.ts';
import type { GroupCommit, GroupOffsets } from './lane-store.ts';

// key   := 'o' groupLength:u16 group topicLength:u16 topic partition:u32
// value := crc:u32 offset:u64 metadata (sealed)                              (big-endian)

const NAME_BYTES_MAX = 0xffff;

/** The commits of consumer groups in a lane's store. */
export class KeyValueGroupOffsets implements GroupOffsets {
  readonly #kv: KeyValueStore;
  readonly #crc32c: Crc32c;
  readonly #guard: (work: Promise<void>) => Promise<void>;

  /** `guard` sees every write, since one that failed ends the store. */
  constructor(kv: KeyValueStore, crc32c: Crc32c, guard: (work: Promise<void>) => Promise<void>) {
    this.#kv = kv;
    this.#crc32c = crc32c;
    this.#guard = guard;
  }

  async commit(group: string, commits: readonly GroupCommit[]): Promise<void> {
    const ops: KeyValueOp[] = [];
    for (const { topic, partition, offset, metadata } of commits) {
      const body = Buffer.allocUnsafe(8 + Buffer.byteLength(metadata));
      writeU64(body, offset, 0);
      body.write(metadata, 8);
      ops.push(sealed(keyOf(group, topic, partition), body, this.#crc32c));
    }
    if (ops.length > 0) await this.#guard(this.#kv.write(ops, { sync: true }));
  }

  async read(group: string): Promise<GroupCommit[]> {
    const prefix = groupKey(group);
    const commits: GroupCommit[] = [];
    for await (const { key, value } of this.#kv.iterate({ from: prefix, to: after(prefix) })) {
      const body = unsealed(key, value, this.#crc32c);
      const topicBytes = key.readUInt16BE(prefix.length);
      commits.push({
        topic: key.toString('utf8', prefix.length + 2, prefix.length + 2 + topicBytes),
        partition: key.readUInt32BE(prefix.length + 2 + topicBytes),
        offset: readU64(body, 0),
        metadata: body.toString('utf8', 8),
      });
    }
    return commits;
  }

  async groups(): Promise<string[]> {
    const names: string[] = [];
    let { from } = kindRange('o');
    const { to } = kindRange('o');
    for (;;) {
      let found: Buffer | undefined;
      const options = { keysOnly: true, limit: 1 };
      for await (const { key } of this.#kv.iterate({ from, to }, options)) found = key;
      if (found === undefined) return names.sort();
      const name = found.toString('utf8', 3, 3 + found.readUInt16BE(1));
      names.push(name);
      from = after(groupKey(name));
    }
  }

  async drop(group: string): Promise<void> {
    const ops: KeyValueOp[] = [];
    for (const { topic, partition } of await this.read(group)) {
      ops.push({ key: keyOf(group, topic, partition), value: undefined });
    }
    if (ops.length > 0) await this.#guard(this.#kv.write(ops, { sync: true }));
  }
}

function groupKey(group: string): Buffer {
  const name = Buffer.from(group);
  if (name.length > NAME_BYTES_MAX) {
    throw coded('INVALID_ARGUMENT', `a group's name has at most ${NAME_BYTES_MAX} bytes`);
  }
  const key = Buffer.allocUnsafe(3 + name.length);
  key.write('o', 0, 'latin1');
  key.writeUInt16BE(name.length, 1);
  name.copy(key, 3);
  return key;
}

function keyOf(group: string, topic: string, partition: number): Buffer {
  const name = Buffer.from(topic);
  assert(name.length <= NAME_BYTES_MAX);
  const tail = Buffer.allocUnsafe(6 + name.length);
  tail.writeUInt16BE(name.length, 0);
  name.copy(tail, 2);
  tail.writeUInt32BE(partition, 2 + name.length);
  return Buffer.concat([groupKey(group), tail]);
}

/** The first key behind all that begin with `prefix`. */
function after(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] as number;
    end[i] = (byte + 1) & 0xff;
    if (byte !== 0xff) return end.subarray(0, i + 1);
  }
  return end;
}
