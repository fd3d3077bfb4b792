import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../../../../protocol/src/frame.ts';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { ProtocolError } from '../../../../protocol/src/protocol-error.ts';
import { limits } from '../../../../src/base/limits.ts';
import type { NodeContext } from '../../../../src/server/handler.ts';
import { settled } from '../../../../src/server/handlers/consume.ts';
import type { Session } from '../../../../src/server/session.ts';

/** A connection whose frames reach an engine that answers when it is told to. */
class Connection {
  /** Answers that are open, the oldest first. */
  readonly open: (() => void)[] = [];
  readonly session = {
    settles: 0,
    isHeld: false,
    written: 0,
    hold: (): void => {
      this.session.isHeld = true;
    },
    release: (): void => {
      this.session.isHeld = false;
    },
    write: (): void => {
      this.session.written++;
    },
  };
  settle: (frame: Frame, write: (bytes: Buffer) => void) => void = (_frame, write) =>
    void this.open.push(() => write(Buffer.alloc(1)));

  /** Takes ACKs until it is held; how many it took. */
  flood(max: number): number {
    const context = { consume: { settle: this.settle } } as unknown as NodeContext;
    let taken = 0;
    for (; taken < max && !this.session.isHeld; taken++) {
      settled(context, this.session as unknown as Session, {} as Frame);
    }
    return taken;
  }
}

test('a connection with as many open acks as it may have is not read until one is answered', () => {
  const connection = new Connection();
  const max = limits.settlesPerConnectionMax;
  assert.equal(connection.flood(2 * max), max);
  connection.open.shift()?.();
  assert.equal(connection.session.isHeld, false);
  assert.equal(connection.flood(2 * max), 1);
  for (const answer of connection.open.splice(0)) answer();
  assert.deepEqual([connection.session.settles, connection.session.written], [0, max + 1]);
});

test('acks that are answered or refused at once hold nobody', () => {
  const connection = new Connection();
  const many = 3 * limits.settlesPerConnectionMax;
  connection.settle = (_frame, write) => write(Buffer.alloc(1));
  assert.equal(connection.flood(many), many);
  connection.settle = () => {
    throw new ProtocolError(ErrorCode.MALFORMED, 'no ack');
  };
  for (let i = 0; i < 100; i++) assert.throws(() => connection.flood(1));
  assert.equal(connection.session.settles, 0);
});
