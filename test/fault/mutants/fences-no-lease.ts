import type { Mutant } from './mutant.ts';

export const fencesNoLease: Mutant = {
  does: 'takes an ack under any lease of its message',
  spoils: [
    {
      file: 'src/consume/lease/lease-window.js',
      find: /state === leased && block\.run\[index\] === run/,
      replace: 'state === leased',
    },
  ],
};
