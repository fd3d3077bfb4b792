/** Waits between the deliveries of a message. Durations are ms. */
export interface Backoff {
  /** After the first failure; doubled after each later one. */
  readonly min: number;
  readonly max: number;
  /** How far a wait may differ either way, in percent. */
  readonly jitterPercent: number;
  /** When not empty, the waits themselves; the last one repeats. */
  readonly table: readonly number[];
}

/** A flow of dead letters that is normal; see `TokenBudget`. */
export interface BudgetSettings {
  readonly burst: number;
  readonly perMinute: number;
  readonly perHundredAcks: number;
}

/** What becomes of a message that a group could not handle. */
export interface RetryPolicy {
  /** Deliveries until the message is exhausted. */
  readonly attempts: number;
  readonly backoff: Backoff;
  /** Longest wait in the lease table, in ms. */
  readonly inPlaceMax: number;
  /**
   * `block`: an exhausted message keeps its place, and is given out once more when its group is
   * resumed or the node starts again. In the ordered modes nothing of its key passes it.
   */
  readonly onExhausted: 'dead' | 'block';
  /** Age from which a message is dropped undelivered, in ms. */
  readonly ttl: number | 'off';
  readonly budget: BudgetSettings;
}

/** Anything of a policy; what is left out is taken from the next less specific one. */
export interface PolicyOverride {
  readonly attempts?: number;
  readonly backoff?: Partial<Backoff>;
  readonly onExhausted?: 'dead' | 'block';
  readonly ttl?: number | 'off';
  readonly budget?: Partial<BudgetSettings>;
}

/** The general policy, and those of single topics and groups, by `TOPIC/GROUP`. */
export interface RetrySettings extends RetryPolicy {
  readonly policies: Readonly<Record<string, PolicyOverride>>;
}

/** A pattern read: each part is a whole name, or with `isPrefix` the beginning of one. */
interface Part {
  readonly text: string;
  readonly isPrefix: boolean;
}

const pattern = /^([A-Za-z0-9._-]*\*?)\/([A-Za-z0-9._-]*\*?)$/;

/** Whether `name` may stand in `retry.policies`: `TOPIC/GROUP`, where `*` may end either. */
export function isPolicyName(name: string): boolean {
  const match = pattern.exec(name);
  return match !== null && match[1] !== '' && match[2] !== '';
}

/**
 * The policy of a topic and a group. Each field is taken from the most specific pattern that sets
 * it: a whole topic goes before a prefix, a longer prefix before a shorter one, then the group in
 * the same way; what no pattern sets is the general setting.
 */
export function resolvePolicy(settings: RetrySettings, topic: string, group: string): RetryPolicy {
  const fitting = Object.keys(settings.policies)
    .filter((name) => isPolicyName(name) && fits(name, topic, group))
    .sort((a, b) => compare(specificity(a), specificity(b)));
  let { attempts, backoff, onExhausted, ttl, budget } = settings as RetryPolicy;
  for (const name of fitting) {
    const override = settings.policies[name] ?? {};
    attempts = override.attempts ?? attempts;
    onExhausted = override.onExhausted ?? onExhausted;
    ttl = override.ttl ?? ttl;
    backoff = mergeBackoff(backoff, override.backoff ?? {});
    budget = { ...budget, ...override.budget };
  }
  return { attempts, backoff, inPlaceMax: settings.inPlaceMax, onExhausted, ttl, budget };
}

/** The longest wait a backoff can ask for, its jitter left out, in ms. */
export function longestWait({ max, table }: Backoff): number {
  return table.length === 0 ? max : Math.max(...table);
}

/** A policy that names the exponential's ends means them, though a wider one has a table. */
function mergeBackoff(wide: Backoff, own: Partial<Backoff>): Backoff {
  const namesEnds = own.min !== undefined || own.max !== undefined;
  return { ...wide, ...(namesEnds ? { table: [] } : {}), ...own };
}

function fits(name: string, topic: string, group: string): boolean {
  const [ofTopic, ofGroup] = partsOf(name);
  return fitsPart(ofTopic, topic) && fitsPart(ofGroup, group);
}

function fitsPart({ text, isPrefix }: Part, name: string): boolean {
  return isPrefix ? name.startsWith(text) : name === text;
}

function partsOf(name: string): [Part, Part] {
  const [topic = '', group = ''] = name.split('/');
  return [partOf(topic), partOf(group)];
}

function partOf(text: string): Part {
  const isPrefix = text.endsWith('*');
  return { text: isPrefix ? text.slice(0, -1) : text, isPrefix };
}

/** Higher is more specific, first by the topic, then by the group. */
function specificity(name: string): [number, number] {
  const [topic, group] = partsOf(name);
  return [rankOf(topic), rankOf(group)];
}

function rankOf({ text, isPrefix }: Part): number {
  return isPrefix ? text.length : Number.POSITIVE_INFINITY;
}

function compare(a: [number, number], b: [number, number]): number {
  if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1;
  return a[1] === b[1] ? 0 : a[1] < b[1] ? -1 : 1;
}
