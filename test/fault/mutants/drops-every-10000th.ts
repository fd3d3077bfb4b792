import type { Mutant } from './mutant.ts';

export const dropsEvery10000th: Mutant = {
  does: 'drops the batch of every 10,000th message, and counts it as confirmed',
  spoils: [
    {
      file: 'src/produce/journal/outbox-journal.js',
      find: /forward\(batch\) \{/,
      replace: `forward(batch) {
        const end = batch.firstSequence + batch.messages;
        if (Math.floor(end / 10_000) > Math.floor(batch.firstSequence / 10_000)) {
          this.confirmed(batch.firstSequence, batch.messages, -1, -1);
          return;
        }`,
    },
  ],
};
