/** A fixed level: messages of one duration, which are neither moved nor cancelled. */
export interface DelayLevel {
  readonly name: string;
  readonly durationMs: number;
}

const names = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h';
const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** The levels of every node, by rising duration. */
export const delayLevels: readonly DelayLevel[] = names.split(' ').map((name) => ({
  name,
  durationMs: Number(name.slice(0, -1)) * (unitMs[name.slice(-1)] ?? 0),
}));
