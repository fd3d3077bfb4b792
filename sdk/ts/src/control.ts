import type { Frame } from '../../../protocol/src/frame.ts';
import type { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import type { MapMessage } from '../../../protocol/src/map-message.ts';
import { encodePing } from '../../../protocol/src/ping.ts';
import { decodeStatusAnswer, encodeStatus } from '../../../protocol/src/status.ts';
import {
  decodeTopicDescription,
  decodeTopicList,
  encodeCreateTopic,
  encodeDescribeTopic,
  encodeListTopics,
} from '../../../protocol/src/topics.ts';
import type { Call, Engine } from './engine.ts';
import type { CreateTopicInput, TopicDescription, TopicInfo, TopicListing } from './types.ts';

/**
 * The control requests of a client. Those that change nothing are repeated while they may succeed.
 */
export class Control {
  private readonly engine: Engine;
  private readonly timeoutMs: number;

  constructor(engine: Engine, timeoutMs: number) {
    this.engine = engine;
    this.timeoutMs = timeoutMs > 0 ? timeoutMs : Number.POSITIVE_INFINITY;
  }

  createTopic(name: string, input: CreateTopicInput): Promise<TopicDescription> {
    const { partitions, replicationFactor, config } = input;
    const topic = { name, partitions, replicationFactor, config };
    return this.engine.call(
      {
        opcode: Opcode.CREATE_TOPIC,
        encode: (writer, id) => encodeCreateTopic(writer, id, topic),
        decode: decodeTopicDescription,
      },
      this.timeoutMs,
    );
  }

  describeTopic(name: string): Promise<TopicDescription> {
    return this.repeat({
      opcode: Opcode.DESCRIBE_TOPIC,
      encode: (writer, id) => encodeDescribeTopic(writer, id, name),
      decode: decodeTopicDescription,
    });
  }

  async listTopics(prefix: string | undefined): Promise<readonly TopicListing[]> {
    const topics: TopicListing[] = [];
    for (;;) {
      const after = topics.at(-1)?.name;
      const page = await this.repeat({
        opcode: Opcode.LIST_TOPICS,
        encode: (writer, id) => encodeListTopics(writer, id, { prefix, after }),
        decode: decodeTopicList,
      });
      topics.push(...page.topics);
      if (page.more !== true || page.topics.length === 0) return topics;
    }
  }

  openTopic(name: string): Promise<TopicInfo> {
    const topic = this.engine.topic(name);
    return this.engine.callAgain(
      (leftMs) => this.engine.open(topic, leftMs, 'make'),
      this.timeoutMs,
    );
  }

  status(): Promise<Readonly<Record<string, unknown>>> {
    return this.repeat({
      opcode: Opcode.STATUS,
      encode: encodeStatus,
      decode: decodeStatusAnswer,
    });
  }

  /**
   * Asks what has maps for request and answer, and the owner where that is another node; what
   * changes nothing is asked again while it may succeed.
   */
  ask<Q extends object, A extends object>(
    message: MapMessage<Q, A>,
    request: Q,
    changesNothing: boolean,
  ): Promise<A> {
    const call = {
      opcode: message.opcode,
      encode: (writer: FrameWriter, id: number) => message.encode(writer, id, request),
      decode: (frame: Frame) => message.decodeAnswer({ ...frame, body: Buffer.from(frame.body) }),
    };
    const ask = (leftMs: number) => this.engine.callOwner(call, leftMs);
    return changesNothing ? this.engine.callAgain(ask, this.timeoutMs) : ask(this.timeoutMs);
  }

  async ping(): Promise<number> {
    const startedMs = this.engine.clock.monotonic();
    await this.repeat({ opcode: Opcode.PING, encode: encodePing, decode: () => undefined });
    return this.engine.clock.monotonic() - startedMs;
  }

  private repeat<T>(call: Call<T>): Promise<T> {
    return this.engine.callAgain((leftMs) => this.engine.call(call, leftMs), this.timeoutMs);
  }
}
