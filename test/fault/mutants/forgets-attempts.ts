import type { Mutant } from './mutant.ts';

export const forgetsAttempts: Mutant = {
  does: 'counts the attempts of what failed anew after a take-over',
  spoils: [
    {
      file: 'src/consume/partition/inherit.js',
      find: /const lease = \{ run, attempt,/,
      replace: 'const lease = { run, attempt: isFailed ? 0 : attempt,',
    },
  ],
};
