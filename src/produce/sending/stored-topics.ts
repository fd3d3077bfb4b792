import { codeOf, messageOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { StoredBatch } from '../../store/lane-store.ts';

/** Ids above those that the catalog gives out, for names that it does not know any more. */
const SPARE_FROM = limits.topicsMax + 1;
/** Above are the ids that stand for refusals. */
const SPARE_TO = 65_500;
const RECORD_HEAD_BYTES = 8;

/** Makes a topic known to a producer. Throws when the id names another topic. */
export type RegisterTopic = (id: number, name: string) => void;

/**
 * Topics by the names that stand in stored batches. A batch that a former run left may name a
 * topic that the catalog has lost, or has under another id since: the name is what counts, and its
 * messages are sent under an id that means that name now.
 */
export class StoredTopics {
  private readonly register: RegisterTopic;
  private readonly log: Logger;
  private readonly names = new Map<number, string>();
  private readonly ids = new Map<string, number>();

  constructor(register: RegisterTopic, log: Logger) {
    this.register = register;
    this.log = log;
  }

  /** The catalog says what an id means. */
  set(id: number, name: string): void {
    this.names.set(id, name);
    this.ids.set(name, id);
  }

  nameOf(id: number): string | undefined {
    return this.names.get(id);
  }

  /** The id under which a topic is sent; one that the catalog has lost is given a spare one. */
  idOf(name: string): number {
    return this.ids.get(name) ?? this.adopt(SPARE_FROM, name);
  }

  /** Makes sure that the batch's topic ids mean what they meant; its payload may be rewritten. */
  resolve(batch: StoredBatch): void {
    let moved: Map<number, number> | undefined;
    for (const { id, name } of batch.header.topics) {
      if (this.names.get(id) === name) continue;
      const now = this.ids.get(name) ?? this.adopt(id, name);
      if (now === id) continue;
      moved ??= new Map();
      moved.set(id, now);
    }
    if (moved !== undefined) rewrite(batch, moved);
  }

  /** Gives a name an id: the one it had if that is free, else a spare one. */
  private adopt(id: number, name: string): number {
    if (!this.names.has(id) && this.tryRegister(id, name)) return id;
    for (let spare = SPARE_FROM; spare <= SPARE_TO; spare++) {
      if (!this.names.has(spare) && this.tryRegister(spare, name)) return spare;
    }
    // Nobody registers this one, so what has it waits instead of going astray.
    return SPARE_TO + 1;
  }

  private tryRegister(id: number, name: string): boolean {
    try {
      this.register(id, name);
    } catch (error) {
      // Another lane has taken the id for another name.
      this.log.debug({ id, name, code: codeOf(error) }, messageOf(error));
      return false;
    }
    this.log.info({ id, name }, 'a topic that only the outbox knows');
    this.set(id, name);
    return true;
  }
}

function rewrite({ payload, messages }: StoredBatch, moved: ReadonlyMap<number, number>): void {
  let at = 0;
  for (let i = 0; i < messages; i++) {
    const now = moved.get(payload.readUInt16LE(at + 4));
    if (now !== undefined) payload.writeUInt16LE(now, at + 4);
    at += RECORD_HEAD_BYTES + payload.readUInt32LE(at);
  }
}
