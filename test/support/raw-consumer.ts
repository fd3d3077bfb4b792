import { beginAck } from '../../protocol/src/ack.ts';
import { decodeAssigned } from '../../protocol/src/assigned.ts';
import { encodeCredit } from '../../protocol/src/credit.ts';
import { DeliveredRuns } from '../../protocol/src/delivered-runs.ts';
import { beginExtend } from '../../protocol/src/extend.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { Opcode } from '../../protocol/src/generated.ts';
import { formatMessageId } from '../../protocol/src/message-id.ts';
import { beginNack } from '../../protocol/src/nack.ts';
import { writeSettleEntry } from '../../protocol/src/settle-entries.ts';
import { SettleFailures } from '../../protocol/src/settled.ts';
import {
  decodeSubscribed,
  encodeSubscribe,
  type Subscribe,
  type Subscribed,
} from '../../protocol/src/subscribe.ts';
import { encodeUnsubscribe } from '../../protocol/src/unsubscribe.ts';
import { RawClient } from './raw-client.ts';
import type { Address } from './start-server.ts';

/** One delivered message. */
export interface RawDelivery {
  readonly topic: string;
  readonly cluster: number;
  readonly partition: number;
  readonly offset: number;
  readonly attempt: number;
  readonly value: string;
  readonly key: string;
  /** `<producer hex>-<epoch>-<sequence>`; '' when the record has none, or ids are not read. */
  readonly id: string;
  readonly token: Buffer;
  readonly index: number;
}

/** A consumer that does nothing by itself. */
export class RawConsumer {
  readonly client: RawClient;
  /** Came and not taken yet. */
  readonly got: RawDelivery[] = [];
  assigned = 0;
  subscription = 0;
  /** Whether deliveries say their message ids, which takes time. */
  readsIds = false;
  /** Why the node ended the subscription. */
  ended: { readonly code: number; readonly message: string } | undefined;
  /** Called for what came in one frame, in place of keeping it. */
  onDelivered: ((messages: RawDelivery[]) => void) | undefined;
  /** `entry:node` of the owners that the last answer to a settlement named. */
  owners: string[] = [];
  readonly #runs = new DeliveredRuns();

  private constructor(client: RawClient) {
    this.client = client;
    client.onPushed = (frame) => this.#take(frame);
  }

  static async open(address: Address, asked: Subscribe): Promise<RawConsumer> {
    const consumer = new RawConsumer(await RawClient.connect(address));
    await consumer.subscribe(asked);
    return consumer;
  }

  async subscribe(asked: Subscribe): Promise<Subscribed> {
    const frame = await this.client.request((w, id) => encodeSubscribe(w, id, asked));
    const answer = decodeSubscribed(frame);
    this.subscription = answer.subscription;
    this.assigned = answer.assigned;
    return answer;
  }

  async unsubscribe(): Promise<void> {
    await this.client.request((w, id) => encodeUnsubscribe(w, id, this.subscription));
  }

  /** Sets what may be out. There is no answer, so a PING follows. */
  async credit(messages: number, bytes = 1 << 20): Promise<void> {
    const writer = new FrameWriter();
    encodeCredit(writer, 1, { subscription: this.subscription, messages, bytes });
    this.client.socket.write(writer.detach());
    await this.client.ping();
  }

  /** Waits until so many have come, and takes them. */
  async take(count: number, timeoutMs?: number): Promise<RawDelivery[]> {
    const what = `${count} deliveries`;
    await this.client.when(() => this.got.length >= count, what, timeoutMs);
    return this.got.splice(0, count);
  }

  /** `entry/index/code` of what was not settled. */
  ack(messages: readonly RawDelivery[], committed = false): Promise<string[]> {
    return this.#settle(messages, (w, id) => beginAck(w, id, committed));
  }

  nack(messages: readonly RawDelivery[], delayMs?: number, dead = false): Promise<string[]> {
    const head = { dead, reason: 'test', ...(delayMs === undefined ? {} : { delayMs }) };
    return this.#settle(messages, (w, id) => beginNack(w, id, head));
  }

  extend(messages: readonly RawDelivery[], leaseMs: number): Promise<string[]> {
    return this.#settle(messages, (w, id) => beginExtend(w, id, leaseMs));
  }

  async #settle(
    messages: readonly RawDelivery[],
    begin: (writer: FrameWriter, id: number) => void,
  ): Promise<string[]> {
    const frame = await this.client.request((writer, id) => {
      begin(writer, id);
      for (const { token, index } of messages) {
        writeSettleEntry(writer, token, Uint16Array.of(index));
      }
      writer.end();
    });
    const failures = new SettleFailures();
    failures.reset(frame);
    const failed: string[] = [];
    this.owners = [];
    while (failures.next()) {
      const { entry, index, code } = failures;
      failed.push(`${entry}/${index}/${code}`);
      const owner = failures.owner(entry);
      if (owner !== undefined) this.owners.push(`${entry}:${owner}`);
    }
    return failed;
  }

  #take(frame: Frame): void {
    if (frame.opcode === Opcode.ASSIGNED) {
      const { assigned, ended } = decodeAssigned(frame);
      this.assigned = assigned;
      this.ended = ended;
      return;
    }
    const came: RawDelivery[] = [];
    const runs = this.#runs;
    runs.reset(frame);
    while (runs.nextRun()) {
      while (runs.next()) {
        const id = this.readsIds ? runs.id : undefined;
        came.push({
          topic: runs.topic,
          cluster: runs.cluster,
          partition: runs.partition,
          offset: runs.offset,
          attempt: runs.attempt,
          value: runs.value?.toString() ?? '',
          key: runs.key?.toString() ?? '',
          id: id === undefined ? '' : formatMessageId(id),
          token: Buffer.from(runs.token),
          index: runs.index,
        });
      }
    }
    if (this.onDelivered !== undefined) this.onDelivered(came);
    else this.got.push(...came);
  }
}
