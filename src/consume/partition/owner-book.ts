import type { ConsumerBackend, GroupMemberDescription } from '../../backend/consumer-port.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { ownerHash } from '../lease/token.ts';

/** What was read of a group is asked for again after so long, in ms. */
const FRESH_MS = 1_000;
/** Groups that one search reads, and how long a search that found nothing stands, in ms. */
const GROUPS_PER_SEARCH = 64;
const NOT_FOUND_MS = 5_000;
/** Longest wait for a name, in ms: the answer to the ack goes without it then. */
const WAIT_MS = 1_000;
/** Nodes that are remembered after they left their groups. */
const NODES_MAX = 64;
/** Bytes of a name in the answer. */
const NAME_BYTES_MAX = 255;
/** Names that one search tries: some ms. */
const TRIES_MAX = 4_096;

/** Whose a token is, as the token says it. */
export interface ForeignToken {
  readonly cluster: number;
  readonly ownerHigh: number;
  readonly ownerLow: number;
  readonly partition: number;
}

/** What an {@link OwnerBook} is made of. */
export interface OwnerBookOptions {
  readonly clock: Clock;
  readonly backends: readonly ConsumerBackend[];
  /** Names of the groups that this node serves. */
  groups(): Iterable<string>;
  readonly nodeId: string;
  /** Whether this node leases a partition of a group: it may own one and not have begun yet. */
  isOpen(cluster: number, group: string, topic: string, partition: number): boolean;
}

interface View {
  readonly atMs: number;
  readonly members: readonly GroupMemberDescription[];
}

interface Place {
  readonly group: string;
  readonly topic: string;
}

/**
 * Says which node owns a partition that a token of another node names. A token has only a hash of
 * node, group and topic, so both are found by trying the members of the groups that this node
 * serves; who has the partition now is read from the group's description.
 */
export class OwnerBook {
  readonly #options: OwnerBookOptions;
  /** By cluster and group. */
  readonly #views = new Map<string, View>();
  readonly #places = new Map<string, Place>();
  readonly #notFound = new Map<string, number>();
  readonly #nodes = new Set<string>();
  #waiting = 0;

  constructor(options: OwnerBookOptions) {
    this.#options = options;
  }

  /** The owners' node ids, undefined where nobody knows. Takes a second at most; never rejects. */
  async find(tokens: readonly ForeignToken[]): Promise<(string | undefined)[]> {
    const found: (string | undefined)[] = tokens.map(() => undefined);
    if (this.#waiting >= limits.ownerSearchesMax) return found;
    this.#waiting++;
    const work = this.#findAll(tokens, found).catch(() => undefined);
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(resolve, WAIT_MS);
      void work.then(() => {
        timer.cancel();
        resolve();
      });
    });
    this.#waiting--;
    return [...found];
  }

  async #findAll(tokens: readonly ForeignToken[], found: (string | undefined)[]): Promise<void> {
    for (const [i, token] of tokens.entries()) found[i] = await this.#find(token);
  }

  async #find(token: ForeignToken): Promise<string | undefined> {
    const { cluster, partition } = token;
    const backend = this.#options.backends.find((one) => one.cluster === cluster);
    if (backend === undefined) return undefined;
    const place = this.#placeOf(token) ?? (await this.#search(backend, token));
    if (place === undefined) return undefined;
    await this.#read(backend, [place.group]);
    const owner = this.#views
      .get(viewOf(cluster, place.group))
      ?.members.find(({ partitions }) =>
        partitions.some((one) => one.topic === place.topic && one.partition === partition),
      );
    // A foreign consumer may have any name; the answer has room for so much.
    if (owner === undefined || Buffer.byteLength(owner.clientId) > NAME_BYTES_MAX) return undefined;
    const { clientId } = owner;
    const { nodeId, isOpen } = this.#options;
    // It will be known here whether the lease holds: nobody else is to be asked meanwhile.
    if (clientId === nodeId && !isOpen(cluster, place.group, place.topic, partition))
      return undefined;
    return clientId;
  }

  /** Reads groups that were not read lately, until the token's is among them. */
  async #search(backend: ConsumerBackend, token: ForeignToken): Promise<Place | undefined> {
    const key = keyOf(token);
    const now = this.#options.clock.monotonic();
    const noted = this.#notFound.get(key);
    if (noted !== undefined && now - noted < NOT_FOUND_MS) return undefined;
    const groups = [...this.#options.groups()];
    const ageOf = (group: string): number =>
      this.#views.get(viewOf(backend.cluster, group))?.atMs ?? Number.NEGATIVE_INFINITY;
    groups.sort((a, b) => ageOf(a) - ageOf(b));
    await this.#read(backend, groups.slice(0, GROUPS_PER_SEARCH));
    const place = this.#placeOf(token);
    if (place === undefined) put(this.#notFound, key, now, limits.ownersKnownMax);
    return place;
  }

  async #read(backend: ConsumerBackend, groups: readonly string[]): Promise<void> {
    const now = this.#options.clock.monotonic();
    const old = groups.filter((group) => {
      const view = this.#views.get(viewOf(backend.cluster, group));
      return view === undefined || now - view.atMs >= FRESH_MS;
    });
    if (old.length === 0) return;
    const read = await backend.groupMembers(old);
    for (const group of old) {
      const members = read.get(group) ?? [];
      const view = { atMs: now, members };
      put(this.#views, viewOf(backend.cluster, group), view, 2 * limits.groupsPerNodeMax);
      for (const { clientId } of members) {
        this.#nodes.delete(clientId);
        this.#nodes.add(clientId);
      }
    }
    while (this.#nodes.size > NODES_MAX) this.#nodes.delete(first(this.#nodes));
  }

  /** Group and topic of a token, among the members and topics that were read. */
  #placeOf(token: ForeignToken): Place | undefined {
    const key = keyOf(token);
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    let tries = 0;
    for (const group of this.#options.groups()) {
      const members = this.#views.get(viewOf(token.cluster, group))?.members ?? [];
      const topics = new Set(members.flatMap(({ partitions }) => partitions.map((p) => p.topic)));
      for (const topic of topics) {
        for (const node of this.#nodes) {
          if (++tries > TRIES_MAX) return undefined;
          const hash = ownerHash(node, group, topic);
          if (hash.readUInt32BE(0) !== token.ownerHigh) continue;
          if (hash.readUInt32BE(4) !== token.ownerLow) continue;
          const place = { group, topic };
          put(this.#places, key, place, limits.ownersKnownMax);
          return place;
        }
      }
    }
    return undefined;
  }
}

function keyOf({ cluster, ownerHigh, ownerLow }: ForeignToken): string {
  return `${cluster}:${ownerHigh}:${ownerLow}`;
}

function viewOf(cluster: number, group: string): string {
  return `${cluster}:${group}`;
}

/** Sets an entry as the newest one; the oldest goes beyond `max`. */
function put<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > max) map.delete(first(map.keys()));
}

function first(keys: Iterable<string>): string {
  for (const key of keys) return key;
  return '';
}
