import type { Mutant } from './mutant.ts';

export const answersBeforeSync: Mutant = {
  does: 'answers before the sync',
  spoils: [
    {
      file: 'src/store/key-value-lane-store.js',
      find: /sync: true/g,
      replace: 'sync: false',
    },
  ],
};
