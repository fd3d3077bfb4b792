import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { makeAdminQueuesRest } from '../../../../src/backend/kafka/admin-queue.ts';

/** What is used of a queue of kafkajs. */
interface Queue {
  readonly throttleCheckTimeoutId: unknown;
  maybeThrottle(ms: number): void;
  push(request: object): void;
  fulfillRequest(response: object): void;
  destroy(): void;
}

const logger = { debug: () => undefined, warn: () => undefined };

function queue(): Queue {
  const Made = createRequire(import.meta.url)('kafkajs/src/network/requestQueue');
  return new Made({ maxInFlightRequests: 1, requestTimeout: 60_000, logger });
}

function request(correlationId: number, sendRequest: () => void): object {
  const entry = { correlationId, resolve: () => undefined, reject: () => undefined };
  return { entry, expectResponse: true, sendRequest };
}

test('a connection for administration on which nothing waits sets no timer', () => {
  makeAdminQueuesRest();
  const idle = queue();
  idle.push(request(1, () => undefined));
  idle.fulfillRequest({ correlationId: 1, size: 0, payload: Buffer.alloc(0) });
  assert.equal(idle.throttleCheckTimeoutId, null);
  idle.destroy();
});

test('what waits because the broker throttles is still sent afterwards', async () => {
  makeAdminQueuesRest();
  const throttled = queue();
  throttled.maybeThrottle(20);
  await new Promise<void>((resolve) => throttled.push(request(1, resolve)));
  throttled.destroy();
});
