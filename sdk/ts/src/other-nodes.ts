import { EventEmitter } from 'node:events';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import type { Address } from './address.ts';
import type { Timer } from './clock.ts';
import { dial, type SessionIdentity } from './dial.ts';
import { connectionError, MqpError, nodeError, toMqpError } from './errors.ts';
import { Exchange } from './exchange.ts';
import type { Settings } from './settings.ts';

/** A node that answers on a connection beside the client's own. */
interface OtherNode {
  readonly nodeId: string;
  readonly exchange: Exchange;
}

/** A request, on a connection to whatever node may own what it is about. */
export type AskOwner<T> = (exchange: Exchange, timeoutMs: number) => Promise<T>;

/** These connections produce nothing. */
const NOBODY: SessionIdentity = { producerId: 0n, epoch: 0 };

/**
 * The other addresses of a client, for what its own node says that another one owns. A connection
 * is made when it is first needed, and kept until it ends.
 */
export class OtherNodes {
  private readonly settings: Settings;
  private readonly stop = new AbortController();
  private readonly links = new Map<Address, Promise<OtherNode>>();
  /** Who answered last at an address. */
  private readonly nodeIds = new Map<Address, string>();

  constructor(settings: Settings) {
    this.settings = settings;
    EventEmitter.setMaxListeners(0, this.stop.signal);
  }

  /** Who answers at an address: of the client's own connection, or of another. */
  learn(address: Address, nodeId: string): void {
    this.nodeIds.set(address, nodeId);
  }

  /**
   * Asks the other nodes, each once, first of all the one that is said to be the owner. Who is not
   * has changed nothing, so nothing is done twice.
   * @param cause why the node `nodeId` did not do it: all but NOT_OWNER is thrown as it is
   * @throws MqpError NOT_OWNER with what each said, when the owner is at no address; else what the
   * owner says, or TIMED_OUT
   */
  async follow<T>(
    cause: unknown,
    ask: AskOwner<T>,
    { nodeId, timeoutMs }: { readonly nodeId: string; readonly timeoutMs: number },
  ): Promise<T> {
    const { clock, addresses } = this.settings;
    const deadlineMs = clock.monotonic() + timeoutMs;
    const left = new Set(addresses.filter((address) => this.nodeIds.get(address) !== nodeId));
    const asked = new Set([nodeId]);
    const refusals = [notOwner(cause)];
    let unreached: MqpError | undefined;
    while (left.size > 0) {
      const owner = ownerOf(refusals);
      const address = this.choose(left, owner);
      const node = await this.inTime(this.reach(address), deadlineMs).catch((error: unknown) => {
        unreached = connectionError('CONNECT_FAILED', error);
      });
      if (node) this.learn(address, node.nodeId);
      // Somebody else is there: the owner may be where nobody has looked yet.
      if (node && owner !== undefined && node.nodeId !== owner && this.hasUnknown(left)) continue;
      left.delete(address);
      if (!node || asked.has(node.nodeId)) continue;
      asked.add(node.nodeId);
      try {
        return await ask(node.exchange, Math.max(1, deadlineMs - clock.monotonic()));
      } catch (error) {
        refusals.push(notOwner(error));
      }
    }
    throw noOwner(refusals, unreached);
  }

  /** Ends all connections; none is made any more. */
  close(reason: MqpError): void {
    this.stop.abort();
    for (const link of this.links.values()) {
      link.then(
        ({ exchange }) => exchange.close(reason),
        () => {},
      );
    }
  }

  /** Where the owner is, else where it may be. */
  private choose(left: ReadonlySet<Address>, owner: string | undefined): Address {
    const all = [...left];
    const its = all.find((address) => owner !== undefined && this.nodeIds.get(address) === owner);
    return its ?? all.find((address) => !this.nodeIds.has(address)) ?? (all[0] as Address);
  }

  private hasUnknown(left: ReadonlySet<Address>): boolean {
    return [...left].some((address) => !this.nodeIds.has(address));
  }

  private reach(address: Address): Promise<OtherNode> {
    let link = this.links.get(address);
    if (link === undefined) {
      link = this.connect(address);
      this.links.set(address, link);
      link.catch(() => this.links.delete(address));
    }
    return link;
  }

  private async connect(address: Address): Promise<OtherNode> {
    const { clock, dial: dialOptions } = this.settings;
    if (this.stop.signal.aborted) throw new MqpError('CLOSED', 'the client was closed');
    const { connection, hello } = await dial(address, NOBODY, dialOptions, this.stop.signal);
    const { nodeId, limits } = hello;
    let leaving: Timer | undefined;
    const leave = () => exchange.close(new MqpError('DISCONNECTED', 'the node is going away'));
    const exchange: Exchange = new Exchange(
      connection,
      {
        fill: () => {},
        produced: () => {},
        produceFailed: () => {},
        pushed: () => {},
        answered: () => {
          if (leaving !== undefined && !exchange.isBusy) leave();
        },
        goaway: ({ drainMs }) => {
          if (leaving !== undefined) return;
          // Whoever asks from now on gets another connection.
          this.links.delete(address);
          leaving = clock.setTimer(leave, drainMs);
          this.stop.signal.addEventListener('abort', leave, { once: true });
          if (!exchange.isBusy) leave();
        },
        closed: () => {
          if (leaving === undefined) this.links.delete(address);
          else leaving.cancel();
          this.stop.signal.removeEventListener('abort', leave);
        },
      },
      { clock, idleTimeoutMs: limits.idleTimeoutMs },
    );
    if (connection.isClosed) {
      const closed = new MqpError('DISCONNECTED', 'the connection was closed');
      exchange.close(closed);
      throw closed;
    }
    return { nodeId, exchange };
  }

  /** Others may wait for the same connection, and longer. @throws MqpError TIMED_OUT */
  private inTime<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
    const { clock } = this.settings;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(
        () => reject(new MqpError('TIMED_OUT', 'no connection before the deadline')),
        Math.max(0, deadlineMs - clock.monotonic()),
      );
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

/** @throws what is no NOT_OWNER */
function notOwner(cause: unknown): MqpError {
  const error = toMqpError(cause);
  if (error.code !== 'NOT_OWNER') throw error;
  return error;
}

/** As it was said last by who knew it. */
function ownerOf(refusals: readonly MqpError[]): string | undefined {
  return refusals.findLast(({ ownerNodeId }) => ownerNodeId !== undefined)?.ownerNodeId;
}

/** What all of them said; the owner may be at an address that did not answer. */
function noOwner(refusals: readonly MqpError[], unreached: MqpError | undefined): MqpError {
  const all = unreached === undefined ? refusals : [...refusals, unreached];
  const words = new Set(all.map(({ message }) => message));
  const ownerNodeId = ownerOf(refusals);
  return nodeError(ErrorCode.NOT_OWNER, [...words].join('; '), { ownerNodeId, cause: unreached });
}
