import type { Mutant } from './mutant.ts';

export const skipsTheChain: Mutant = {
  does: 'opens a store whose chain does not reach the high-water mark',
  spoils: [
    {
      file: 'src/store/recovery.js',
      find: /if \(!this\.#markMet\) \{/,
      replace: 'if (false) {',
    },
  ],
};
