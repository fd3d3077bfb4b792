/** What a check found. */
export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail';
  /** What was looked at, such as `disk`. */
  readonly area: string;
  /** What was found, a sentence or a few words. */
  readonly found: string;
  /** What to do about it; absent when nothing need be done. */
  readonly advice?: string;
}

export const ok = (area: string, found: string): Finding => ({ level: 'ok', area, found });

export const warn = (area: string, found: string, advice: string): Finding => ({
  level: 'warn',
  area,
  found,
  advice,
});

export const fail = (area: string, found: string, advice: string): Finding => ({
  level: 'fail',
  area,
  found,
  advice,
});
