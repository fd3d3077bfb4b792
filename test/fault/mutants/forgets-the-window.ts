import type { Mutant } from './mutant.ts';

export const forgetsTheWindow: Mutant = {
  does: 'takes every resend for a new message',
  spoils: [
    {
      file: 'src/produce/intake/dedupe-window.js',
      find: /look\(sequence\) \{/,
      replace: "look(sequence) {\n        return 'new';",
    },
  ],
};
