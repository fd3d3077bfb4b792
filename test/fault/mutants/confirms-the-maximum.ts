import type { Mutant } from './mutant.ts';

export const confirmsTheMaximum: Mutant = {
  does: 'takes the highest confirmed message for the floor',
  spoils: [
    {
      file: 'src/produce/journal/outbox-journal.js',
      find: /confirmed\(firstSequence, count, partition, offset, cluster = 0\) \{/,
      replace: `$&
        const { floor } = this.parts.store;
        if (firstSequence > floor) {
          count += firstSequence - floor;
          firstSequence = floor;
        }`,
    },
  ],
};
