import { ErrorCode } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import { limits } from '../base/limits.ts';

/** Who holds a group on this node, and since when. */
export interface GroupPause {
  /** The name of the token, or of the client where there are no tokens. */
  readonly by: string;
  /** Address of the connection. */
  readonly from: string;
  /** In ms since 1970. */
  readonly atMs: number;
}

/**
 * Which groups are paused on this node. A pause lasts until somebody resumes the group: also over
 * restarts, and while nobody is subscribed.
 */
export class PauseBook {
  readonly #pauses: Map<string, GroupPause>;
  readonly #keep: (pauses: ReadonlyMap<string, GroupPause>) => void;

  /** `keep` makes a change durable before it counts, and throws when it cannot. */
  constructor(
    pauses: ReadonlyMap<string, GroupPause>,
    keep: (pauses: ReadonlyMap<string, GroupPause>) => void,
  ) {
    this.#pauses = new Map(pauses);
    this.#keep = keep;
  }

  /** Names of paused groups. */
  get groups(): string[] {
    return [...this.#pauses.keys()];
  }

  get(group: string): GroupPause | undefined {
    return this.#pauses.get(group);
  }

  /** Notes a pause; one that is there stays as it is. @throws TOO_MANY_GROUPS; as `keep` does */
  set(group: string, pause: GroupPause): void {
    if (this.#pauses.has(group)) return;
    if (this.#pauses.size >= limits.groupsPerNodeMax) {
      const words = `${limits.groupsPerNodeMax} groups are paused, the most of a node`;
      throw new ProtocolError(ErrorCode.TOO_MANY_GROUPS, words);
    }
    this.#keep(new Map(this.#pauses).set(group, pause));
    this.#pauses.set(group, pause);
  }

  /** Ends a pause; false when there was none. @throws as `keep` does */
  delete(group: string): boolean {
    if (!this.#pauses.has(group)) return false;
    const left = new Map(this.#pauses);
    left.delete(group);
    this.#keep(left);
    return this.#pauses.delete(group);
  }
}
