import { Counter, Gauge, type Registry } from 'prom-client';
import { limits } from '../base/limits.ts';
import { addByCause } from './by-cause.ts';

type ByCause = Readonly<Record<string, number>>;

/** What is known of retries and dead letters; read when a scrape comes. */
export interface DeadLetterReport {
  readonly numbers: {
    readonly retries: ByCause;
    readonly moved: ByCause;
    readonly moveFailures: number;
    readonly putOff: number;
    readonly expired: number;
    readonly blocked: number;
  };
  /** Those that hold messages back first. */
  budgets(): readonly {
    readonly topic: string;
    readonly group: string;
    readonly tokens: number;
    readonly isHolding: boolean;
  }[];
}

type Numbers = DeadLetterReport['numbers'];

const PREFIX = 'mqproxy_';

const BY_CAUSE: readonly (readonly [string, string, (numbers: Numbers) => ByCause])[] = [
  ['retries_total', 'Deliveries that failed and are tried again.', ({ retries }) => retries],
  ['dead_letters_total', 'Messages moved to the dead letters.', ({ moved }) => moved],
];

const PLAIN: readonly (readonly [string, string, (numbers: Numbers) => number])[] = [
  ['dead_letter_failures_total', 'Moves that failed; each is tried again.', (n) => n.moveFailures],
  ['messages_put_off_total', 'Messages that left for the delay log.', (n) => n.putOff],
  ['messages_expired_total', 'Messages dropped for their age.', (n) => n.expired],
  ['messages_blocked_total', 'Exhausted messages that keep their place.', (n) => n.blocked],
];

/** Adds what docs/operating.md says of dead letters. */
export function addDeadLetterMetrics(registry: Registry, report: DeadLetterReport): void {
  const registers = [registry];
  for (const [name, help, read] of BY_CAUSE) {
    addByCause(registry, { name: PREFIX + name, help, read: () => read(report.numbers) });
  }
  for (const [name, help, read] of PLAIN) {
    new Counter({
      name: PREFIX + name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(report.numbers));
      },
    });
  }
  new Gauge({
    name: `${PREFIX}dead_letter_budgets_holding`,
    help: 'Groups of a topic whose budget holds exhausted messages back.',
    registers,
    collect() {
      this.set(report.budgets().filter(({ isHolding }) => isHolding).length);
    },
  });
  new Gauge({
    name: `${PREFIX}dead_letter_budget_tokens`,
    help: 'Dead letters that the budget allows at once.',
    labelNames: ['topic', 'group'],
    registers,
    collect() {
      this.reset();
      for (const { topic, group, tokens } of report.budgets().slice(0, limits.metricTopicsMax)) {
        this.set({ topic, group }, Math.floor(tokens));
      }
    },
  });
}
