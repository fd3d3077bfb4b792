import { Counter, type Registry } from 'prom-client';

/** Adds a counter with the label `cause`, from numbers that are kept by cause. */
export function addByCause(
  registry: Registry,
  counter: {
    readonly name: string;
    readonly help: string;
    /** Read when a scrape comes. */
    read(): Readonly<Record<string, number>>;
  },
): void {
  const { name, help, read } = counter;
  new Counter({
    name,
    help,
    labelNames: ['cause'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [cause, count] of Object.entries(read())) this.inc({ cause }, count);
    },
  });
}
