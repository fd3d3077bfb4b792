import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { coded, firstLineOf } from '../base/errors.ts';
import { yaml } from '../base/yaml.ts';

/** What a client may do with topics whose names begin with a prefix. */
export interface Grant {
  readonly prefix: string;
  readonly produce: boolean;
  readonly consume: boolean;
  readonly create: boolean;
}

/** Who a connection speaks for. */
export interface Access {
  readonly name: string;
  readonly grants: readonly Grant[];
}

type Right = 'produce' | 'consume' | 'create';

/** May do everything: what a node without authentication gives to everybody. */
export const fullAccess: Access = {
  name: 'anyone',
  grants: [{ prefix: '', produce: true, consume: true, create: true }],
};

/** Whether `access` has a right on a topic. */
export function allows(access: Access | undefined, right: Right, topic: string): boolean {
  if (access === undefined) return false;
  return access.grants.some((grant) => grant[right] && topic.startsWith(grant.prefix));
}

interface Entry {
  readonly digest: Buffer;
  readonly access: Access;
}

/**
 * The tokens of a file, as YAML:
 *
 *     tokens:
 *       - name: billing
 *         token: 3f9c…            # or sha256: <hex of the token's SHA-256>
 *         grants:
 *           - { prefix: orders., produce: true, consume: true, create: false }
 *
 * Only digests are kept in memory.
 */
export class Tokens {
  private readonly entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  /** Reads a tokens file. @throws CONFIG_INVALID with the place of the fault */
  static read(path: string): Tokens {
    let document: unknown;
    try {
      document = yaml().parse(readFileSync(path, 'utf8'));
    } catch (error) {
      throw coded('CONFIG_INVALID', `auth.tokensFile: ${path}: ${firstLineOf(error)}`);
    }
    const list = isMap(document) ? document['tokens'] : undefined;
    if (!Array.isArray(list)) {
      throw coded('CONFIG_INVALID', `auth.tokensFile: ${path} has no list named tokens`);
    }
    const where = `auth.tokensFile: ${path}: tokens`;
    return new Tokens(list.map((item: unknown, index) => entryOf(item, `${where}[${index}]`)));
  }

  /** Who shows this token; undefined when nobody does. Takes the same time for every answer. */
  find(token: Uint8Array): Access | undefined {
    const digest = createHash('sha256').update(token).digest();
    let found: Access | undefined;
    for (const entry of this.entries) {
      if (timingSafeEqual(entry.digest, digest)) found = entry.access;
    }
    return found;
  }
}

function entryOf(item: unknown, where: string): Entry {
  if (!isMap(item)) throw coded('CONFIG_INVALID', `${where} is not a map`);
  const { name, token, sha256, grants } = item;
  if (typeof name !== 'string') throw coded('CONFIG_INVALID', `${where}.name is not a text`);
  let digest: Buffer;
  if (typeof token === 'string' && token.length >= 16) {
    digest = createHash('sha256').update(token).digest();
  } else if (typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256)) {
    digest = Buffer.from(sha256, 'hex');
  } else {
    const words = `${where} needs a token of at least 16 characters, or a sha256 of 64 hex digits`;
    throw coded('CONFIG_INVALID', words);
  }
  if (!Array.isArray(grants)) throw coded('CONFIG_INVALID', `${where}.grants is not a list`);
  return { digest, access: { name, grants: grants.map((g: unknown) => grantOf(g, where)) } };
}

function grantOf(item: unknown, where: string): Grant {
  if (!isMap(item) || typeof item['prefix'] !== 'string') {
    throw coded('CONFIG_INVALID', `${where}: a grant is a map with a prefix`);
  }
  return {
    prefix: item['prefix'],
    produce: item['produce'] === true,
    consume: item['consume'] === true,
    create: item['create'] === true,
  };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
