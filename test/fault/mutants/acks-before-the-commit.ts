import type { Mutant } from './mutant.ts';

export const acksBeforeTheCommit: Mutant = {
  does: 'answers `committed` before the commit',
  spoils: [
    {
      file: 'src/consume/settle-desk.js',
      find: /if \(committed\)\s*this\.#touched\.add\(partition\);/g,
      replace: '',
    },
  ],
};
