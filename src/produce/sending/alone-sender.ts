import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import { CatchUp, type CatchUpParts } from './catch-up.ts';
import type { Lag } from './lag.ts';
import type { RunSet } from './run-set.ts';
import type { Sender } from './sender.ts';
import { Stepper } from './stepper.ts';
import { dealVerdicts, type MessageRun } from './verdict-rows.ts';

/** Parts of an {@link AloneSender}. */
export interface AloneSenderParts
  extends Pick<CatchUpParts, 'backlog' | 'clock' | 'onSent' | 'onResend' | 'onMissing'> {
  readonly sender: Sender;
  /** Makes the topic known to this producer. */
  register(topic: number): void;
  confirmed(run: MessageRun, partition: number, offset: number): void;
  isFinal(run: MessageRun, verdict: Verdict): boolean;
  /** The topic is sent from its own log: what is not confirmed goes to {@link returned}. */
  isParked(topic: number): boolean;
  returned(run: MessageRun, verdict: Verdict): void;
  refused(run: MessageRun, verdict: Verdict): void;
  /** Every message of the topic that was sent alone has its verdict. */
  onSettled(topic: number): void;
  onFailure(error: unknown): void;
}

/**
 * Sends messages one by one, each a batch of its own: those that the broker refused together with
 * the batch they were in. What it refuses now, it refuses for the message's own sake.
 */
export class AloneSender {
  private readonly parts: AloneSenderParts;
  private readonly waiting: CatchUp;
  /** By topic: messages without a last word. */
  private readonly open = new Map<number, number>();
  private readonly stepper: Stepper;

  constructor(parts: AloneSenderParts) {
    this.parts = parts;
    this.waiting = new CatchUp({
      ...parts,
      end: () => Number.POSITIVE_INFINITY,
      onReady: () => this.work(),
      onLevel: () => {},
    });
    this.stepper = new Stepper(() => this.waiting.step(), parts.onFailure);
  }

  /** Takes messages over; {@link work} sends them. */
  add({ topic, first, count }: MessageRun, cause: string): void {
    if (!this.open.has(topic)) this.parts.register(topic);
    this.expect(topic, count);
    const lag = this.waiting.begin(topic, Number.POSITIVE_INFINITY);
    lag.cause = cause;
    lag.returned.add(first, count);
    this.waiting.ready(topic);
  }

  /** Takes over what came back of a topic; what was never sent of it stays where it is. */
  takeOver({ topic, returned }: Lag): void {
    const { count } = returned;
    if (count === 0) return;
    this.expect(topic, count);
    returned.moveTo(this.waiting.begin(topic, Number.POSITIVE_INFINITY).returned);
  }

  /** Gives back what waits of a topic and is not on its way. */
  giveBack(topic: number, to: RunSet): void {
    const lag = this.waiting.get(topic);
    if (lag === undefined) return;
    const { count } = lag.returned;
    lag.returned.moveTo(to);
    this.settle(topic, count);
  }

  /** Takes the rows of this producer's delivery reports; *borrowed*. */
  verdicts(rows: Float64Array, count: number): void {
    const { sender } = this.parts;
    const settled = dealVerdicts(rows, count, {
      hasRoom: () => sender.hasRoom(),
      isReady: (topic) => this.waiting.ready(topic),
      broken: (generation) => sender.broken(generation),
      confirmed: (run, partition, offset) => {
        this.parts.confirmed(run, partition, offset);
        this.settle(run.topic, run.count);
      },
      refused: (run, verdict) => {
        if (this.parts.isParked(run.topic) || !this.parts.isFinal(run, verdict)) {
          this.comeBack(run, verdict);
          return;
        }
        this.parts.refused(run, verdict);
        this.settle(run.topic, run.count);
      },
      returned: (run, verdict) => this.comeBack(run, verdict),
    });
    sender.settled(settled);
    this.work();
  }

  /** The producer may be used again. */
  resume(): void {
    this.waiting.readyAll();
    this.work();
  }

  /** Sends what waits and can be sent now. */
  work(): void {
    this.stepper.kick();
  }

  close(): void {
    this.parts.sender.close();
    this.waiting.close();
  }

  private comeBack(run: MessageRun, verdict: Verdict): void {
    const { topic, first, count } = run;
    if (this.parts.isParked(topic)) {
      this.parts.returned(run, verdict);
      this.settle(topic, count);
      return;
    }
    const lag = this.waiting.begin(topic, Number.POSITIVE_INFINITY);
    lag.returned.add(first, count);
    lag.cause = verdict.name ?? '';
    if (verdict.kind === 'topicMissing') this.parts.onMissing(topic);
    this.waiting.defer(lag, 0);
  }

  private expect(topic: number, count: number): void {
    this.open.set(topic, (this.open.get(topic) ?? 0) + count);
  }

  private settle(topic: number, count: number): void {
    const left = (this.open.get(topic) ?? 0) - count;
    if (left > 0) {
      this.open.set(topic, left);
      return;
    }
    this.open.delete(topic);
    this.parts.onSettled(topic);
  }
}
