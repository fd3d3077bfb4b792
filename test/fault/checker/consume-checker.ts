import { type ConsumeEntry, type DeliveredPlace, readConsumeHistory } from './consume-history.ts';
import { NodeLife } from './node-life.ts';
import { Verdicts } from './verdicts.ts';

/** Letters at the end of their topic among which a node looks for one. */
const LOOKED_BACK = 4_096;

/** A dead letter of a dump. */
export interface DeadLetter {
  /** Its own id. */
  readonly id: string;
  /** Where the message was, and what is said of it. */
  readonly of: DeliveredPlace;
  readonly attempts: number;
  readonly cause: 'dead' | 'nack' | 'expiry';
}

/** A message of a dump of the topics that were consumed. */
export interface TopicRecord extends DeliveredPlace {
  readonly id: string;
}

/** What a run must have done, at least, to prove anything. */
export interface EnoughConsumed {
  readonly acked?: number;
  readonly kills?: number;
  readonly again?: number;
  readonly letters?: number;
}

/** The numbers of a check. */
export interface ConsumeCounts {
  readonly delivered: number;
  readonly acked: number;
  /** Deliveries of what had been delivered. */
  readonly again: number;
  readonly refused: number;
  readonly kills: number;
  readonly letters: number;
  /** Acks that came to nothing, as a kill may do. */
  readonly forgotten: number;
}

interface Lease {
  readonly message: Message;
  readonly life: NodeLife;
  readonly attempt: number;
  readonly isLate: boolean;
  /** What was asked last, when, and how many deliveries of the message were ordered then. */
  asked: { readonly what: string; readonly ms: number; readonly ordered: number } | undefined;
  /** Number of this delivery among those of its message whose order is known. */
  readonly number: number;
}

/** An ack or a failure that was answered. */
interface Answered {
  readonly ms: number;
  readonly life: NodeLife;
  readonly attempt: number;
}

interface Message {
  readonly name: string;
  id: string;
  deliveries: number;
  /** Those whose order is known. */
  ordered: number;
  /** The last delivery whose order is known. */
  last: { readonly attempt: number; readonly life: NodeLife; readonly ms: number } | undefined;
  committed: boolean;
  recorded: Answered | undefined;
  failed: Answered | undefined;
  /** Acks that were sent and not refused. */
  acks: number;
  isDead: boolean;
  askedDead: boolean;
  isThere: boolean;
}

/**
 * Holds what consumers saw against what was promised to them: at most one of all leases counts, an
 * ack stays, attempts rise, and every message is acked or a dead letter at the end. Feed it the
 * history, then every record of the topics and every dead letter, each in a stream.
 */
export class ConsumeChecker {
  readonly #attemptsMax: number;
  readonly #verdicts = new Verdicts();
  readonly #messages = new Map<string, Message>();
  readonly #leases = new Map<number, Lease>();
  /** Of each node's life, by cluster: one may take commits while another is away. */
  readonly #lives = new Map<number, Map<number, NodeLife>>();
  /** Ids of messages that were acked, or are dead letters: their copies are settled unseen. */
  readonly #settledIds = new Set<string>();
  /** Own ids of the letters of a message, and how many there are. */
  readonly #letters = new Map<string, { readonly id: string; count: number }>();
  readonly #unsettled: Message[] = [];
  /** Since when a cluster is away, and how often one was. */
  #awayMs: number | undefined;
  #aways = 0;
  #counts = { delivered: 0, acked: 0, again: 0, refused: 0, kills: 0, letters: 0, forgotten: 0 };

  /** @param attemptsMax `retry.attempts` of the nodes */
  constructor(attemptsMax: number) {
    this.#attemptsMax = attemptsMax;
  }

  async readHistory(path: string): Promise<void> {
    for await (const entry of readConsumeHistory(path)) this.note(entry);
  }

  note(entry: ConsumeEntry): void {
    const { kind, ms, number } = entry;
    if (kind === 'd' || kind === 'l') this.#delivered(entry);
    else if (kind === 'K') {
      this.#counts.kills++;
      for (const life of this.#lives.get(number)?.values() ?? []) life.killed(ms);
    } else if (kind === 'O') {
      this.#awayMs = ms;
      this.#aways++;
      this.#eachLife((life) => life.away(ms));
    } else if (kind === 'P') {
      this.#awayMs = undefined;
      this.#eachLife((life) => life.back(ms));
    } else {
      const lease = this.#leases.get(number);
      if (lease !== undefined) this.#settled(lease, entry);
    }
  }

  /** One record of the topics. */
  found(record: TopicRecord): void {
    const message = this.#message(record);
    if (message.isThere) this.#verdicts.add('invented', `${message.name} is there twice`);
    message.isThere = true;
    if (message.deliveries > 0 && message.id !== record.id)
      this.#verdicts.add('misplaced', `${message.name} was delivered as ${message.id}`);
    message.id = record.id;
    if (message.acks > 0) this.#settledIds.add(record.id);
    else this.#unsettled.push(message);
  }

  /** One dead letter. */
  letter({ id, of, attempts, cause }: DeadLetter): void {
    const message = this.#message(of);
    this.#counts.letters++;
    const what = `${message.name}, after ${attempts} deliveries (${cause})`;
    if (cause === 'dead' ? !message.askedDead : attempts < this.#attemptsMax)
      this.#verdicts.add('dead-early', what);
    const known = this.#letters.get(message.name);
    if (known === undefined) this.#letters.set(message.name, { id, count: 1 });
    else if (known.id !== id)
      this.#verdicts.add('dead-twice', `${what} as ${known.id} and as ${id}`);
    else known.count++;
    message.isDead = true;
    this.#settledIds.add(message.id);
  }

  counts(): ConsumeCounts {
    return { ...this.#counts };
  }

  /** What was found, once everything was fed in. */
  verdicts(enough: EnoughConsumed = {}): Verdicts {
    this.#judgeLetters();
    for (const message of this.#unsettled) {
      if (message.isDead || this.#settledIds.has(message.id)) continue;
      this.#verdicts.add('lost', `${message.name}, delivered ${message.deliveries} times`);
    }
    for (const { name, isThere, deliveries } of this.#messages.values()) {
      if (!isThere && deliveries > 0) this.#verdicts.add('invented', `${name} is not in its topic`);
    }
    for (const [what, wanted] of Object.entries(enough)) {
      const found = this.#counts[what as keyof EnoughConsumed];
      if (found < wanted)
        this.#verdicts.add('too-little', `${what}: ${found}, ${wanted} are to be shown`);
    }
    return this.#verdicts;
  }

  /**
   * Who takes over looks for the letter of a crash between the move and its ack among the last
   * ones, and writes none. What lies further back it writes again under the same id, as it may
   * where a cluster did not answer.
   */
  #judgeLetters(): void {
    const { kills, letters } = this.#counts;
    const isSeen = letters < LOOKED_BACK && this.#aways === 0;
    const most = isSeen ? 1 : 1 + kills + this.#aways;
    for (const [name, { count }] of this.#letters) {
      if (count > most) this.#verdicts.add('dead-twice', `${name}, ${count} times`);
    }
  }

  #delivered({ kind, ms, number, words }: ConsumeEntry): void {
    const [life = '', attempt = '', id = '', cluster, partition, offset, topic = ''] = words;
    const of = { cluster: Number(cluster), partition: Number(partition), offset: Number(offset) };
    const message = this.#message({ ...of, topic });
    const lease: Lease = {
      message,
      life: this.#life(Number(life), of.cluster),
      attempt: Number(attempt),
      isLate: kind === 'l',
      number: kind === 'l' ? message.ordered : ++message.ordered,
      asked: undefined,
    };
    this.#leases.set(number, lease);
    this.#counts.delivered++;
    if (++message.deliveries > 1) this.#counts.again++;
    message.id = id;
    if (lease.attempt > this.#attemptsMax)
      this.#verdicts.add('attempts', `${message.name} for the ${attempt}. time`);
    if (lease.isLate) return;
    this.#judgeDelivery(lease);
    message.last = { attempt: lease.attempt, life: lease.life, ms };
  }

  #judgeDelivery({ message, attempt }: Lease): void {
    const { name, committed, recorded, failed, last } = message;
    if (committed) this.#verdicts.add('after-commit', `${name}, attempt ${attempt}`);
    else if (recorded !== undefined) {
      if (recorded.life.mayForget(recorded.ms)) this.#counts.forgotten++;
      else this.#verdicts.add('after-record', `${name}, attempt ${attempt}`);
      message.recorded = undefined;
    }
    if (failed !== undefined && attempt <= failed.attempt && !failed.life.mayForget(failed.ms))
      this.#verdicts.add('attempts', `${name}: ${attempt} after ${failed.attempt} had failed`);
    // What was given out and not told to have failed counts only as long as its node lives.
    if (last !== undefined && attempt < last.attempt && !last.life.mayForget(last.ms))
      this.#verdicts.add('attempts', `${name}: ${attempt} after ${last.attempt}`);
  }

  #settled(lease: Lease, { kind, ms, number, words }: ConsumeEntry): void {
    const { message, life, attempt } = lease;
    const [word = ''] = words;
    if (kind === 'a' || kind === 'n' || kind === 's') {
      lease.asked = { what: word, ms, ordered: message.ordered };
      if (kind === 'a') message.acks++;
      if (word === 'dead') message.askedDead = true;
      if (word === 'committed') life.asks(ms);
      return;
    }
    const { asked } = lease;
    if (asked === undefined) return;
    if (kind === 'x') {
      if (asked.what === 'committed') life.givesUp(asked.ms);
      // Else it may have counted all the same.
      const isAck = asked.what === 'recorded' || asked.what === 'committed';
      if (isAck && word !== 'UNKNOWN') message.acks--;
      return;
    }
    if (asked.what === 'committed') life.answers(asked.ms, ms);
    this.#judgeAnswer(lease, asked);
    if (kind === 't') return;
    this.#leases.delete(number);
    if (kind === 'm') {
      this.#counts.refused++;
      message.failed = { ms, life, attempt };
      return;
    }
    this.#counts.acked++;
    if (asked.what === 'committed') message.committed = true;
    else message.recorded ??= { ms, life, attempt };
  }

  /** An answer that counts says that the lease held on, so no later one may have been granted. */
  #judgeAnswer(lease: Lease, asked: NonNullable<Lease['asked']>): void {
    const { message, number, isLate, life } = lease;
    if (isLate || asked.ordered <= number) return;
    // Who does not know yet that it owns nothing answers for its own memory alone.
    if (asked.what !== 'committed' && life.mayForget(asked.ms)) return;
    const words = `${message.name}: delivery ${number} counted behind delivery ${asked.ordered}`;
    this.#verdicts.add('two-leases', words);
  }

  #message({ cluster, topic, partition, offset }: DeliveredPlace): Message {
    const name = `${cluster} ${topic}/${partition}@${offset}`;
    const known = this.#messages.get(name);
    if (known !== undefined) return known;
    const made: Message = {
      name,
      id: '',
      deliveries: 0,
      ordered: 0,
      last: undefined,
      committed: false,
      recorded: undefined,
      failed: undefined,
      acks: 0,
      isDead: false,
      askedDead: false,
      isThere: false,
    };
    this.#messages.set(name, made);
    return made;
  }

  #life(number: number, cluster: number): NodeLife {
    const ofNode = this.#lives.get(number) ?? new Map<number, NodeLife>();
    const known = ofNode.get(cluster);
    if (known !== undefined) return known;
    const made = new NodeLife();
    // It began while one was away.
    if (this.#awayMs !== undefined) made.away(this.#awayMs);
    this.#lives.set(number, ofNode.set(cluster, made));
    return made;
  }

  #eachLife(tell: (life: NodeLife) => void): void {
    for (const ofNode of this.#lives.values()) for (const life of ofNode.values()) tell(life);
  }
}
