import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ClusterNumber } from '../../lanes/lane-calls.ts';
import type { KafkaProducer, ProduceRequest, ProduceResult } from '../../native/kafka.ts';
import type { BatchHeader } from '../../store/batch-header.ts';
import { AloneSender } from './alone-sender.ts';
import type { Backlog } from './backlog.ts';
import { CatchUp } from './catch-up.ts';
import type { Lag } from './lag.ts';
import { Sender } from './sender.ts';
import { Strikes } from './strikes.ts';
import { dealVerdicts, type MessageRun, type VerdictSink } from './verdict-rows.ts';

/** A producer for messages that go one by one, opened when first needed. */
export interface AloneProducer {
  readonly producer: KafkaProducer;
  /** Makes a topic known to it. */
  register(topic: number): void;
}

/** What reaches one cluster. */
export interface RoadProducer {
  readonly producer: KafkaProducer;
  /** Opens the producer whose batches hold one message; its rows go to `onVerdicts`. */
  openAlone(onVerdicts: (rows: Float64Array, count: number) => void): AloneProducer;
}

/** Parts of a {@link Road}. */
export interface RoadParts extends RoadProducer {
  readonly cluster: ClusterNumber;
  readonly clock: Clock;
  readonly log: Logger;
  newBacklog(): Backlog;
  /** The newest message that was handed over, or is about to be, and the lane's floor. */
  end(): number;
  floor(): number;
  /** The topic is sent from its own log; whatever comes back goes there. */
  isParked(topic: number): boolean;
  /** There may be something to send. */
  work(): void;
  /** The producer may be used again. */
  onUsable(): void;
  onSent(result: ProduceResult): void;
  onConfirmed(run: MessageRun, partition: number, offset: number): void;
  /** Refused for good. */
  onRefused(run: MessageRun, verdict: Verdict): void;
  /** Not in this cluster's log, or nobody knows. */
  onReturned(run: MessageRun, verdict: Verdict): void;
  /** Refused as part of a batch: the topic waits until each was judged alone. */
  onIsolated(run: MessageRun): void;
  /** All rows of one report were dealt with. */
  onDealt(): void;
  onResend(cause: string, header: BatchHeader): void;
  onMissing(topic: number): void;
  onLevel(topic: number): void;
  onFailure(error: unknown): void;
}

/**
 * The way of a lane's messages to one cluster: its producer, the topics that are behind on it, and
 * the producer for messages that go one by one.
 */
export class Road {
  readonly cluster: ClusterNumber;
  readonly lags: CatchUp;
  private readonly parts: RoadParts;
  private readonly sender: Sender;
  private readonly sink: VerdictSink;
  private readonly strikes = new Strikes();
  private alone: AloneSender | undefined;
  /** Present while it is stopped. */
  private onIdle: (() => void) | undefined;
  private aloneSender: Sender | undefined;

  constructor(parts: RoadParts) {
    const { producer, clock, log } = parts;
    this.parts = parts;
    this.cluster = parts.cluster;
    this.sender = new Sender({ producer, clock, log, onUsable: () => this.usable() });
    this.lags = new CatchUp({
      sender: this.sender,
      backlog: parts.newBacklog(),
      clock,
      end: parts.end,
      onReady: parts.work,
      onSent: parts.onSent,
      onResend: parts.onResend,
      onMissing: parts.onMissing,
      onLevel: parts.onLevel,
    });
    this.sink = this.makeSink();
  }

  get isUsable(): boolean {
    return this.sender.isUsable;
  }

  /** Messages of its shared producer that have no report yet. */
  get inFlight(): number {
    return this.sender.inFlight;
  }

  get generation(): number {
    return this.parts.producer.generation;
  }

  /** Nothing of it is on its way. */
  get isIdle(): boolean {
    return this.sender.inFlight === 0 && (this.aloneSender?.inFlight ?? 0) === 0;
  }

  /** One produce call; `messages` are those of the payload. To be made only while usable. */
  send(request: ProduceRequest, messages: number): ProduceResult {
    return this.sender.send(request, messages);
  }

  /** Takes the rows of delivery reports; *borrowed*. Answers how many messages they settle. */
  verdicts(rows: Float64Array, count: number): number {
    const settled = dealVerdicts(rows, count, this.sink);
    this.sender.settled(settled);
    return settled;
  }

  /** The shared instance broke; the rows of what was in it follow. */
  broken(): void {
    this.sender.brokenNow();
  }

  /**
   * Takes over messages that were refused as part of a batch, to send each alone; with them what
   * came back of their topic before, so that nothing of it overtakes them.
   */
  isolate(run: MessageRun, cause: string): void {
    this.alone ??= this.openAlone();
    this.alone.add(run, cause);
    const lag = this.lags.get(run.topic);
    if (lag !== undefined) this.alone.takeOver(lag);
    this.alone.work();
  }

  /** Gives back what waits of a topic to be sent alone and is not on its way. */
  giveBack(lag: Lag): void {
    if (lag.cause === '') lag.cause = 'alone';
    this.alone?.giveBack(lag.topic, lag.returned);
  }

  /** As {@link giveBack}, for every topic. */
  giveAllBack(): void {
    for (const lag of this.lags.all()) if (lag.isAlone) this.giveBack(lag);
  }

  /**
   * Sends nothing more until {@link go}. With `dispose` what is on its way is taken back; else its
   * verdicts are waited for. `onIdle` is called each time nothing is on its way any more.
   */
  stop(dispose: boolean, onIdle: () => void): void {
    this.onIdle = onIdle;
    for (const sender of [this.sender, this.aloneSender]) sender?.stop(dispose, onIdle);
  }

  /** Sends again. */
  go(): void {
    this.onIdle = undefined;
    this.sender.go();
    this.aloneSender?.go();
    this.alone?.resume();
  }

  close(): void {
    this.sender.close();
    this.lags.close();
    this.alone?.close();
  }

  private usable(): void {
    this.lags.readyAll();
    this.parts.onUsable();
  }

  private makeSink(): VerdictSink {
    const { parts } = this;
    return {
      hasRoom: () => this.sender.hasRoom(),
      isReady: (topic) => this.lags.ready(topic),
      broken: (generation) => this.sender.broken(generation),
      confirmed: parts.onConfirmed,
      refused: (run, verdict) => {
        if (parts.isParked(run.topic) || !this.isFinal(run, verdict)) {
          parts.onReturned(run, verdict);
        } else if (verdict.ofBatch === true) {
          parts.onIsolated(run);
          this.isolate(run, verdict.name ?? '');
        } else this.refuse(run, verdict);
      },
      returned: (run, verdict) => {
        const isAlone = this.lags.get(run.topic)?.isAlone === true;
        // What comes back of a topic whose messages go one by one takes its place among them.
        if (isAlone && !parts.isParked(run.topic)) this.isolate(run, verdict.name ?? '');
        else parts.onReturned(run, verdict);
      },
    };
  }

  private openAlone(): AloneSender {
    const { clock, log, onConfirmed, onResend, onMissing, onSent, openAlone } = this.parts;
    let alone: AloneSender | undefined;
    const opened = openAlone((rows, count) => {
      alone?.verdicts(rows, count);
      this.parts.onDealt();
    });
    const { producer } = opened;
    const sender = new Sender({ producer, clock, log, onUsable: () => alone?.resume() });
    alone = new AloneSender({
      sender,
      backlog: this.parts.newBacklog(),
      clock,
      register: (topic) => opened.register(topic),
      confirmed: onConfirmed,
      isFinal: (run, verdict) => this.cluster === 0 && this.isFinal(run, verdict),
      isParked: this.parts.isParked,
      returned: this.parts.onReturned,
      refused: (run, verdict) => this.parts.onRefused(run, verdict),
      onSent,
      onResend,
      onMissing,
      onSettled: (topic) => this.judgedAlone(topic),
      onFailure: (error) => this.parts.onFailure(error),
    });
    this.aloneSender = sender;
    if (this.onIdle !== undefined) sender.stop(false, this.onIdle);
    return alone;
  }

  private judgedAlone(topic: number): void {
    const lag = this.lags.get(topic);
    if (lag === undefined) return;
    lag.isAlone = false;
    this.lags.ready(topic);
    this.parts.work();
  }

  /**
   * Only the first cluster refuses for good: what the other does not take may still be taken by the
   * first, and waits for it.
   */
  private refuse(run: MessageRun, verdict: Verdict): void {
    if (this.cluster === 0) this.parts.onRefused(run, verdict);
    else this.parts.onReturned(run, verdict);
  }

  private isFinal(run: MessageRun, verdict: Verdict): boolean {
    return this.strikes.isFinal(run, verdict, this.parts.floor());
  }
}
