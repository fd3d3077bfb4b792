import type { ConsumedMessage, SubscribeOptions } from '../../../sdk/ts/src/consume-types.ts';
import type { Consumer } from '../../../sdk/ts/src/consumer.ts';
import { MqpError } from '../../../sdk/ts/src/errors.ts';
import { coded, messageOf } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { connectNode, serverOptions } from '../node-client.ts';
import { type OptionValues, readCommandLine } from '../option.ts';
import { isOutputGone, OutputBuffer } from '../output.ts';
import { consumedJson } from '../record.ts';

const options = {
  ...serverOptions,
  group: { kind: 'text', value: 'GROUP', description: 'The group to consume for; needed.' },
  mode: {
    kind: 'choice',
    choices: ['shared', 'key-ordered', 'partition-ordered'],
    description: "How the group's messages are given out; without it as the group has it.",
  },
  credit: {
    kind: 'count',
    minimum: 1,
    maximum: 65_536,
    value: 'N',
    fallback: '256',
    description: 'Messages that may be here at once, unsettled.',
  },
  lease: {
    kind: 'duration',
    value: 'TIME',
    description: "How long a message is this consumer's alone, such as 30s.",
  },
  from: {
    kind: 'text',
    value: 'beginning|end|TIME',
    fallback: 'beginning',
    description: 'Where a new group begins; TIME is ISO 8601.',
  },
  count: { kind: 'count', value: 'N', description: 'End after so many messages.' },
  prefix: { kind: 'boolean', description: 'TOPIC is the beginning of names: consume all of them.' },
  'no-ack': { kind: 'boolean', description: 'Settle nothing: the messages come again.' },
  'ack-wait': {
    kind: 'choice',
    choices: ['recorded', 'committed'],
    fallback: 'recorded',
    description: 'What an ack waits for before the end.',
  },
  json: { kind: 'boolean', description: 'Print a JSON object a line, with all there is.' },
} as const;

type ConsumeOptions = OptionValues<typeof options>;

const newline = Buffer.from('\n');

/** What a node refuses an ack with. After all else nobody knows whether it took the ack. */
const refusals: ReadonlySet<string> = new Set(['LEASE_LOST', 'BAD_TOKEN', 'NOT_OWNER']);

/** `mqproxy consume`: prints the messages of a group, and acks what it printed. */
export const consumeCommand: Command = {
  usage: 'consume TOPIC --group GROUP [options]',
  summary: 'Consumes a topic for a group: prints messages, and acks each after it was printed.',
  details: [
    'Prints values, a line each; with --json the fields of tail, and cluster and attempt.',
    'What was read and not printed when it ends is given back at once. The exit code is 1 when',
    'a message was printed and its ack failed, or had no answer.',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [topic, ...others] = words;
    if (topic === undefined || others.length > 0) throw coded('USAGE', 'consume takes one TOPIC');
    const wanted = subscriptionOf(topic, own);
    if (own.count === 0) return exitCodes.ok;
    const client = await connectNode(own);
    const printer = new MessagePrinter(own);
    try {
      const consumer = await client.subscribe(wanted);
      const stop = () => void consumer.close();
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
      process.stdout.once('close', stop);
      await printer.run(consumer, own.count ?? Number.POSITIVE_INFINITY);
    } finally {
      await client.close();
    }
    // The client has closed: every ack has ended.
    return printer.isAcked ? exitCodes.ok : exitCodes.refused;
  },
};

/** What becomes of a printed message whose ack failed with `error`: words to follow its place. */
export function wordsOfNoAck(error: unknown): string {
  const isRefused = error instanceof MqpError && refusals.has(error.code);
  const words = isRefused ? ' comes again' : ': its ack was not answered, so it may come again';
  return `${words}: ${messageOf(error)}`;
}

function subscriptionOf(topic: string, own: ConsumeOptions): SubscribeOptions {
  if (own.group === undefined) {
    throw coded('USAGE', 'consume needs a group: --group=GROUP', {
      hint: '"mqproxy tail TOPIC" reads without one',
    });
  }
  return {
    group: own.group,
    ...(own.prefix ? { prefix: topic } : { topics: [topic] }),
    creditMessages: Math.min(own.credit, own.count ?? own.credit),
    start: startOf(own.from),
    ackWait: own['ack-wait'],
    ...(own.mode === undefined ? {} : { mode: own.mode }),
    ...(own.lease === undefined ? {} : { leaseMs: own.lease }),
  };
}

/** Prints in pieces while more is at hand, and acks a piece when it has left the process. */
class MessagePrinter {
  /** No ack has failed. */
  isAcked = true;
  readonly #own: ConsumeOptions;
  readonly #output = new OutputBuffer();
  #printed: ConsumedMessage[] = [];
  #isFlushDue = false;
  #flushing: Promise<void> = Promise.resolve();

  constructor(own: ConsumeOptions) {
    this.#own = own;
  }

  async run(consumer: Consumer, count: number): Promise<void> {
    let left = count;
    for await (const message of consumer) {
      this.#add(message);
      if (this.#output.isFull) await this.#flush();
      else this.#flushSoon();
      if (--left > 0 && !isOutputGone()) continue;
      // Before the iteration is left, which gives back what is not acked.
      await this.#flush();
      break;
    }
    await this.#flush();
  }

  #add(message: ConsumedMessage): void {
    this.#printed.push(message);
    if (this.#own.json) {
      this.#output.add(Buffer.from(`${JSON.stringify(consumedJson(message))}\n`));
      return;
    }
    if (message.value !== null) this.#output.add(message.value);
    this.#output.add(newline);
  }

  /** One at a time, so that nothing is acked before it was printed. */
  #flush(): Promise<void> {
    this.#flushing = this.#flushing.then(async () => {
      const printed = this.#printed;
      this.#printed = [];
      await this.#output.flush();
      if (this.#own['no-ack'] || isOutputGone()) return;
      for (const message of printed) {
        void message.ack().catch((error: unknown) => this.#notAcked(message, error));
      }
    });
    return this.#flushing;
  }

  #notAcked(message: ConsumedMessage, error: unknown): void {
    this.isAcked = false;
    const place = `${message.topic} ${message.partition}/${message.offset}`;
    process.stderr.write(`mqproxy: ${place}${wordsOfNoAck(error)}\n`);
  }

  /** After everything that is at hand was taken: the event loop turns only when none is. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      void this.#flush();
    });
  }
}

function startOf(text: string): NonNullable<SubscribeOptions['start']> {
  if (text === 'beginning' || text === 'end') return text;
  const time = /^\d{4}-\d{2}/.test(text) ? new Date(text) : undefined;
  if (time !== undefined && !Number.isNaN(time.getTime())) return time;
  throw coded('USAGE', `--from: ${JSON.stringify(text)} is not beginning, end or a time`);
}
