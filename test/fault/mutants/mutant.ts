import type { Spoil } from '../../support/spoilt-build.ts';

/** A fault of the program itself, put into a copy of the build: a run must find it. */
export interface Mutant {
  /** What it does wrong, as a sentence goes on: "a build that …". */
  readonly does: string;
  readonly spoils: readonly Spoil[];
}
