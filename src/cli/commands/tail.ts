import type { TailOptions, TailRecord } from '../../../sdk/ts/src/types.ts';
import { coded } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { connectNode, serverOptions } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { isOutputGone, OutputBuffer } from '../output.ts';
import { recordJson } from '../record.ts';

const options = {
  ...serverOptions,
  from: {
    kind: 'text',
    value: 'beginning|end|OFFSET|TIME',
    fallback: 'end',
    description: 'Where to begin; OFFSET wants --partition, TIME is ISO 8601.',
  },
  partition: { kind: 'count', value: 'N', description: 'Only this partition.' },
  count: { kind: 'count', value: 'N', description: 'End after so many messages.' },
  json: { kind: 'boolean', description: 'Print a JSON object a line, with all there is.' },
} as const;

const newline = Buffer.from('\n');

/** `mqproxy tail`: prints messages as they come. */
export const tailCommand: Command = {
  usage: 'tail TOPIC [options]',
  summary: 'Prints the messages of a topic, and goes on as new ones come.',
  details: [
    'The topic must be there: reading never makes one.',
    'Prints values, a line each; with --json topic, partition, offset, timestamp, id, key,',
    'headers, value (keyBase64, valueBase64 when they are not UTF-8).',
  ].join('\n'),
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [topic, ...others] = words;
    if (topic === undefined || others.length > 0) throw coded('USAGE', 'tail takes one TOPIC');
    const from = startOf(own.from);
    if (own.count === 0) return exitCodes.ok;
    const client = await connectNode(own);
    const stopping = new AbortController();
    const stop = () => stopping.abort();
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    process.stdout.once('close', stop);
    const tailOptions: TailOptions = {
      from,
      signal: stopping.signal,
      ...(own.partition === undefined ? {} : { partition: own.partition }),
    };
    try {
      const printer = new RecordPrinter(own.json);
      await printer.run(client.tail(topic, tailOptions), own.count ?? Number.POSITIVE_INFINITY);
    } finally {
      await client.close();
    }
    return exitCodes.ok;
  },
};

/** Prints records in pieces of 64 KiB while more are at hand, and at once when none is. */
class RecordPrinter {
  readonly #isJson: boolean;
  readonly #output = new OutputBuffer();
  #isFlushDue = false;

  constructor(isJson: boolean) {
    this.#isJson = isJson;
  }

  async run(records: AsyncIterable<TailRecord>, count: number): Promise<void> {
    let left = count;
    for await (const record of records) {
      this.#add(record);
      if (this.#output.isFull) await this.#output.flush();
      else this.#flushSoon();
      if (--left <= 0 || isOutputGone()) break;
    }
    await this.#output.flush();
  }

  #add(record: TailRecord): void {
    if (this.#isJson) {
      this.#output.add(Buffer.from(`${JSON.stringify(recordJson(record))}\n`));
      return;
    }
    if (record.value !== null) this.#output.add(record.value);
    this.#output.add(newline);
  }

  /** After everything that is at hand was taken: the event loop turns only when none is. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      void this.#output.flush();
    });
  }
}

function startOf(text: string): NonNullable<TailOptions['from']> {
  if (text === 'beginning' || text === 'end') return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const time = /^\d{4}-\d{2}/.test(text) ? new Date(text) : undefined;
  if (time !== undefined && !Number.isNaN(time.getTime())) return time;
  throw coded(
    'USAGE',
    `--from: ${JSON.stringify(text)} is not beginning, end, an offset or a time`,
  );
}
