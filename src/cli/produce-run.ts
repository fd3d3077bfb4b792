import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import type {
  AckLevel,
  HeaderInput,
  MessageInput,
  ProduceOptions,
  ProduceResult,
} from '../../sdk/ts/src/types.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { type Line, LineSplitter, tooLong } from './line-splitter.ts';
import { OutputBuffer } from './output.ts';

/** What is the same for every line. */
export interface ProduceSettings {
  readonly topic: string;
  readonly keySeparator: Buffer | undefined;
  readonly headers: readonly HeaderInput[];
  readonly partition: number | undefined;
  /** When each line is to be delivered; empty: now. */
  readonly due: Pick<MessageInput, 'delayMs' | 'dueAtMs' | 'levelMs' | 'unique' | 'ifAbsent'>;
  readonly ack: AckLevel;
  /** Most lines that are sent and not yet answered. */
  readonly inFlight: number;
  readonly timeoutMs: number;
  /** Print one JSON line per input line, in input order. */
  readonly isJson: boolean;
}

/** A line that was not answered well. */
export interface FailedLine {
  /** From 1. */
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** Most bytes of lines without an answer; a single larger line goes alone. */
const inFlightBytesMax = 32 * 2 ** 20;
/** The failures that are kept whole, for the summary. */
const shownFailures = 5;

/** One batch on its way, in input order. */
interface Sent {
  readonly firstLine: number;
  readonly count: number;
  readonly bytes: number;
  outcomes: readonly (ProduceResult | Error)[] | undefined;
}

/**
 * Sends the lines of a stream: batches, at most `inFlight` lines unanswered, and no promise per
 * line. Answers are told in input order.
 */
export class ProduceRun {
  lines = 0;
  acked = 0;
  readonly failuresByCode = new Map<string, number>();
  readonly failures: FailedLine[] = [];
  readonly #client: MqpClient;
  readonly #settings: ProduceSettings;
  readonly #options: ProduceOptions;
  readonly #splitter: LineSplitter;
  readonly #batchLines: number;
  readonly #output = new OutputBuffer();
  readonly #sent: Sent[] = [];
  #inFlight = 0;
  #inFlightBytes = 0;
  #wake: (() => void) | undefined;

  constructor(client: MqpClient, settings: ProduceSettings) {
    this.#client = client;
    this.#settings = settings;
    this.#options = { ack: settings.ack, timeoutMs: settings.timeoutMs };
    const messageBytesMax = client.node?.limits.messageBytesMax ?? messageBytesMaxDefault;
    this.#splitter = new LineSplitter(messageBytesMax + (settings.keySeparator?.length ?? 0));
    this.#batchLines = Math.max(1, Math.min(512, settings.inFlight >> 1));
  }

  /** Lines that were not answered well. */
  get failed(): number {
    return [...this.failuresByCode.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Sends every line of `input`; resolves when all are answered and printed. */
  async run(input: AsyncIterable<Buffer>): Promise<void> {
    const lines: Line[] = [];
    const chunks = input[Symbol.asyncIterator]();
    for (let next = chunks.next(); ; ) {
      const step = await Promise.race([next, this.#changed()]);
      if (step === undefined) {
        // Answers are told while the input is silent: it may be somebody who types.
        await this.#settle();
        continue;
      }
      if (step.done === true) break;
      this.#splitter.push(step.value, lines);
      await this.#send(lines);
      next = chunks.next();
    }
    this.#splitter.end(lines);
    await this.#send(lines);
    while (this.#sent.length > 0) {
      await this.#changed();
      await this.#settle();
    }
  }

  async #send(lines: Line[]): Promise<void> {
    for (let from = 0; from < lines.length; from += this.#batchLines) {
      const batch = lines.slice(from, from + this.#batchLines);
      await this.#settle();
      const bytes = batch.reduce((sum, line) => sum + (line === tooLong ? 0 : line.length), 0);
      while (this.#isFullFor(batch.length, bytes)) {
        await this.#changed();
        await this.#settle();
      }
      this.#sendBatch(batch, bytes);
    }
    lines.length = 0;
  }

  #isFullFor(count: number, bytes: number): boolean {
    if (this.#inFlight === 0) return false;
    if (this.#inFlight + count > this.#settings.inFlight) return true;
    return this.#inFlightBytes + bytes > inFlightBytesMax;
  }

  #sendBatch(lines: readonly Line[], bytes: number): void {
    const count = lines.length;
    const sent: Sent = { firstLine: this.lines + 1, count, bytes, outcomes: undefined };
    this.lines += count;
    this.#inFlight += count;
    this.#inFlightBytes += bytes;
    this.#sent.push(sent);
    const messages: MessageInput[] = [];
    const tooLongAt: number[] = [];
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i] as Line;
      if (line === tooLong) tooLongAt.push(i);
      else messages.push(this.#messageOf(line));
    }
    const done = (outcomes: readonly (ProduceResult | Error)[]) => {
      sent.outcomes = tooLongAt.length === 0 ? outcomes : withTooLong(outcomes, tooLongAt);
      this.#wake?.();
    };
    const { topic } = this.#settings;
    if (messages.length === 0) done([]);
    else this.#client.produceBatch(topic, messages, this.#options, (_, results) => done(results));
  }

  #messageOf(line: Buffer): MessageInput {
    const { keySeparator, headers, partition, due } = this.#settings;
    const at = keySeparator === undefined ? -1 : line.indexOf(keySeparator);
    const isKeyed = keySeparator !== undefined && at >= 0;
    return {
      value: isKeyed ? line.subarray(at + keySeparator.length) : line,
      key: isKeyed ? line.subarray(0, at) : null,
      headers,
      partition,
      ...due,
    };
  }

  /** Takes answered batches from the front; prints them, waiting for room. */
  async #settle(): Promise<void> {
    for (let head = this.#sent[0]; head?.outcomes !== undefined; head = this.#sent[0]) {
      this.#sent.shift();
      this.#inFlight -= head.count;
      this.#inFlightBytes -= head.bytes;
      this.#count(head, head.outcomes);
      if (this.#output.isFull) await this.#output.flush();
    }
    await this.#output.flush();
  }

  #count(sent: Sent, outcomes: readonly (ProduceResult | Error)[]): void {
    const { isJson } = this.#settings;
    let text = '';
    for (let i = 0; i < sent.count; i++) {
      const outcome = outcomes[i];
      const line = sent.firstLine + i;
      if (outcome !== undefined && !(outcome instanceof Error)) {
        this.acked++;
        if (isJson) text += ackedJson(line, outcome);
        continue;
      }
      const code = codeOf(outcome);
      this.failuresByCode.set(code, (this.failuresByCode.get(code) ?? 0) + 1);
      if (this.failures.length < shownFailures) {
        this.failures.push({ line, code, message: messageOf(outcome) });
      }
      if (isJson) text += `${JSON.stringify({ n: line, error: code })}\n`;
    }
    if (text !== '') this.#output.add(Buffer.from(text));
  }

  #changed(): Promise<void> {
    if (this.#sent[0]?.outcomes !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        if (this.#sent[0]?.outcomes !== undefined) resolve();
      };
    });
  }
}

const messageBytesMaxDefault = 1024 * 1024;

/** Ids hold only digits, letters and hyphens, and the rest are numbers: nothing needs escaping. */
function ackedJson(line: number, result: ProduceResult): string {
  const { id, ack, partition, offset, delayId, dueAtMs } = result;
  const place = `"partition":${partition ?? null},"offset":${offset ?? null}`;
  const delay = delayId === undefined ? '' : `,"delayId":"${delayId}","dueAtMs":${dueAtMs ?? null}`;
  return `{"n":${line},"id":"${id}","ack":"${ack}",${place}${delay}}\n`;
}

function withTooLong(
  outcomes: readonly (ProduceResult | Error)[],
  at: readonly number[],
): (ProduceResult | Error)[] {
  const all = [...outcomes];
  for (const i of at) {
    all.splice(i, 0, new MqpError('MESSAGE_TOO_LARGE', 'the line is longer than a message may be'));
  }
  return all;
}
