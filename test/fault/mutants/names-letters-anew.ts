import type { Mutant } from './mutant.ts';

export const namesLettersAnew: Mutant = {
  does: 'gives each copy of a dead letter an id of its own',
  spoils: [
    {
      file: 'src/consume/retry/dead-record.js',
      find: /deadIdOf\(origin\);/,
      replace: 'deadIdOf({ ...origin, group: String(process.pid) });',
    },
  ],
};
