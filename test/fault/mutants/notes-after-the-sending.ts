import type { Mutant } from './mutant.ts';

export const notesAfterTheSending: Mutant = {
  does: 'notes what it sends again only after that',
  spoils: [
    {
      file: 'src/produce/sending/resend-log.js',
      find: /appendFileSync\(this\.path, lines, \{ mode: 0o600 \}\);/,
      replace: 'setTimeout(() => { $& }, 1_000);',
    },
  ],
};
