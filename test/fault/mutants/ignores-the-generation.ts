import type { Mutant } from './mutant.ts';

export const ignoresTheGeneration: Mutant = {
  does: 'sends on a new producer before every report of the one before it has come',
  spoils: [
    {
      file: 'src/produce/sending/sender.js',
      find: /if \(this\.out === 0\)\s*this\.release\(\);/,
      replace: 'this.release();',
    },
  ],
};
