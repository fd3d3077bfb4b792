import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { CodedError, codeOf, messageOf } from '../base/errors.ts';
import type { CreateLaneService } from './inline-lane.ts';
import type { LaneCallName, LaneCalls, LaneEvent, LaneMemory, StartLane } from './lane-calls.ts';
import { answerOut } from './out-of-service.ts';

/** The one task that a lane's worker is given. */
export interface LaneTask<O> {
  readonly options: O;
  readonly memory: LaneMemory;
  readonly bell: number;
  readonly port: MessagePort;
}

type ToLane = { readonly id: number; readonly name: LaneCallName; readonly args: unknown[] };
type Failure = { readonly code: string; readonly message: string; readonly hint?: string };
type FromLane =
  | { readonly kind: 'ready'; readonly bell: number }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: Failure }
  | { readonly kind: 'event'; readonly event: LaneEvent };

/**
 * Hosts a lane in a Piscina pool of one thread that runs one task which ends only when the lane
 * is closed: a task per micro-batch would cost more than the micro-batch.
 *
 * @param file the worker's module; it exports a function made by {@link laneTask} as default
 */
export function workerLane<O>(file: string, options: O, execArgv?: string[]): StartLane {
  return async (memory, bell, onEvent) => {
    const pool = new Piscina({
      filename: file,
      name: 'runLane',
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      ...(execArgv === undefined ? {} : { execArgv }),
    });
    const { port1, port2 } = new MessageChannel();
    const calls = new Calls(port1, onEvent);
    const task: LaneTask<O> = { options, memory, bell, port: port2 };
    const done = pool.run(task, { transferList: [port2], name: 'runLane' });
    // A worker that dies takes its lane with it: whoever waits must hear of it.
    const ended = done.catch((error: unknown) => calls.fail(error));
    // An idle worker that the pool makes in its place is nothing to fall over.
    pool.on('error', () => {});
    const end = async (): Promise<void> => {
      port1.close();
      await pool.destroy();
    };
    const laneBell = await calls.ready.catch(async (error: unknown) => {
      await end();
      throw error;
    });
    return {
      bell: laneBell,
      call: (name, ...args) =>
        calls.call(name, args) as Promise<ReturnType<LaneCalls[typeof name]>>,
      stop: async () => {
        port1.postMessage({ id: -1, name: 'close', args: [] } satisfies ToLane);
        await ended;
        await end();
      },
    };
  };
}

/** The lane's end of the port: makes the worker's task out of a service's constructor. */
export function laneTask<O>(create: CreateLaneService<O>): (task: LaneTask<O>) => Promise<void> {
  return async ({ options, memory, bell, port }) => {
    const say = (message: FromLane): void => port.postMessage(message);
    const service = await create(options, memory, bell, (event) =>
      say({ kind: 'event', event }),
    ).catch((error: unknown) => say({ kind: 'error', id: 0, error: failureOf(error) }));
    if (service === undefined) return;
    await new Promise<void>((resolve) => {
      port.on('message', ({ id, name, args }: ToLane) => {
        if (id === -1) {
          resolve();
          return;
        }
        service.call(name, args).then(
          (value) => say({ kind: 'result', id, value }),
          (error: unknown) => say({ kind: 'error', id, error: failureOf(error) }),
        );
      });
      say({ kind: 'ready', bell: service.bell });
    });
    port.close();
  };
}

class Calls {
  readonly ready: Promise<number>;
  private readonly port: MessagePort;
  private readonly onEvent: (event: LaneEvent) => void;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private resolveReady: (bell: number) => void = () => {};
  private rejectReady: (error: unknown) => void = () => {};
  private isReady = false;
  private isDead = false;

  constructor(port: MessagePort, onEvent: (event: LaneEvent) => void) {
    this.port = port;
    this.onEvent = onEvent;
    this.ready = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    port.on('message', (message: FromLane) => {
      // What it had said before it died may come after that is known.
      if (this.isDead) return;
      if (message.kind === 'ready') {
        this.isReady = true;
        this.resolveReady(message.bell);
      } else if (message.kind === 'event') onEvent(message.event);
      else this.settle(message);
    });
  }

  call(name: LaneCallName, args: unknown[]): Promise<unknown> {
    if (this.isDead) return answerDead(name);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { name, resolve, reject });
      this.port.postMessage({ id, name, args } satisfies ToLane);
    });
  }

  /** The worker has ended, and not because it was asked to. */
  fail(error: unknown): void {
    this.isDead = true;
    this.rejectReady(error);
    for (const { name, resolve, reject } of this.waiting.values()) {
      answerDead(name).then(resolve, reject);
    }
    this.waiting.clear();
    if (!this.isReady) return;
    const { code, message } = failureOf(error);
    this.onEvent({ kind: 'out', cause: 'thread', code, message });
  }

  private settle(message: Extract<FromLane, { id: number }>): void {
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.kind === 'result') {
      waiting?.resolve(message.value);
      return;
    }
    const { code, message: text, hint } = message.error;
    const error = new CodedError(code, text, hint === undefined ? {} : { hint });
    // Call 0 is the start itself.
    if (message.id === 0) this.rejectReady(error);
    else waiting?.reject(error);
  }
}

/** Answers for a lane whose thread is gone. */
async function answerDead(name: LaneCallName): Promise<unknown> {
  return answerOut(name, 'this lane', 'its thread has ended; start the node again');
}

interface Waiting {
  readonly name: LaneCallName;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

function failureOf(error: unknown): Failure {
  if (error instanceof CodedError) {
    const { code, message, hint } = error;
    return hint === undefined ? { code, message } : { code, message, hint };
  }
  return { code: codeOf(error), message: messageOf(error) };
}
