import kafkajs, { type Admin, type LogEntry } from 'kafkajs';
import type { Clock } from '../../base/clock.ts';
import { type CodedError, coded, codeOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { makeAdminQueuesRest } from './admin-queue.ts';
import { adminError } from './kafka-errors.ts';
import type { ClientSettings } from './kafka-settings.ts';

/** What an {@link AdminClient} needs. */
export interface AdminClientOptions {
  readonly settings: ClientSettings['admin'];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Longest time for one task, connecting included, in ms; default 10,000. */
  readonly timeoutMs?: number;
}

/** After a failure the cluster is left alone for so long, and callers get the failure, in ms. */
const restMs = 1_000;

/**
 * A connection for administration, made at first use and thrown away when something failed: a
 * client of kafkajs that has lost its cluster is quicker replaced than repaired.
 */
export class AdminClient {
  readonly #options: AdminClientOptions;
  #admin: Promise<Admin> | undefined;
  #failure: CodedError | undefined;
  #restUntil = 0;
  #closed = false;

  constructor(options: AdminClientOptions) {
    this.#options = options;
    makeAdminQueuesRest();
  }

  /**
   * Runs a task on the connection. `doing` completes the sentence "Kafka did not …".
   *
   * @throws BACKEND_UNAVAILABLE when the cluster cannot be reached or does not answer in time;
   * what the broker refused under its own code (see `adminError`).
   */
  async run<T>(doing: string, task: (admin: Admin) => Promise<T>): Promise<T> {
    if (this.#closed) throw coded('BACKEND_UNAVAILABLE', 'the connection to Kafka is closed');
    if (this.#failure !== undefined && this.#options.clock.monotonic() < this.#restUntil) {
      throw this.#failure;
    }
    this.#admin ??= this.#connect();
    const used = this.#admin;
    try {
      const answer = await this.#inTime(doing, used.then(task));
      this.#failure = undefined;
      return answer;
    } catch (error) {
      const failure = adminError(error, doing);
      if (codeOf(failure) === 'BACKEND_UNAVAILABLE') {
        this.#failure = failure;
        this.#restUntil = this.#options.clock.monotonic() + restMs;
        this.#dispose(used);
      }
      throw failure;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const admin = this.#admin;
    this.#admin = undefined;
    await admin?.then((it) => it.disconnect()).catch(() => undefined);
  }

  async #connect(): Promise<Admin> {
    const { settings, logger, timeoutMs = 10_000 } = this.#options;
    const kafka = new kafkajs.Kafka({
      ...settings,
      connectionTimeout: Math.min(3_000, timeoutMs),
      authenticationTimeout: Math.min(5_000, timeoutMs),
      requestTimeout: timeoutMs,
      retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 1_000 },
      logCreator: () => (entry) => {
        logQuietly(logger, entry);
      },
    });
    const admin = kafka.admin();
    await admin.connect();
    return admin;
  }

  #inTime<T>(doing: string, answer: Promise<T>): Promise<T> {
    const { clock, timeoutMs = 10_000 } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(() => {
        reject(
          coded('BACKEND_UNAVAILABLE', `Kafka did not ${doing} within ${timeoutMs} ms`, {
            retryAfterMs: 1000,
          }),
        );
      }, timeoutMs);
      answer.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #dispose(used: Promise<Admin>): void {
    if (this.#admin === used) this.#admin = undefined;
    used.then((admin) => admin.disconnect()).catch(() => undefined);
  }
}

/** What kafkajs calls an error is told to our caller as one; in the log it would come twice. */
function logQuietly(logger: Logger, entry: LogEntry): void {
  logger.debug({ kafkajs: entry.namespace, level: entry.label }, entry.log.message);
}
