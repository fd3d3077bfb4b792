import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import {
  ANSWER,
  AuthMechanism,
  ErrorCode,
  HELLO_FLAGS,
  HelloFlag,
  MAGIC,
  Opcode,
  PROTOCOL_LIMIT,
  PROTOCOL_VERSION,
} from './generated.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { integerField, mapField, stringField, stringsField } from './map-fields.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** The first frame of a connection. */
export interface Hello {
  /** Sequences of this session may come in any order. */
  readonly unordered: boolean;
  /** Protocol versions the client speaks, both included. */
  readonly versionMin: number;
  readonly versionMax: number;
  /** 0n: the node gives one. */
  readonly producerId: bigint;
  readonly epoch: number;
  /** The client's clock, unix milliseconds. */
  readonly clientTimeMs: number;
  /** For logs and status; at most 255 bytes. */
  readonly name: string;
  readonly authMechanism: number;
  /** The proof, at most 4,096 bytes; borrowed from the frame when decoded. */
  readonly auth: Uint8Array;
}

/** What the node grants. */
export interface HelloAnswer {
  readonly version: number;
  readonly producerId: bigint;
  readonly epoch: number;
  /** Highest sequence known of this producer and epoch; 0 is none. */
  readonly lastSequence: number;
  readonly nodeId: string;
  readonly nodeVersion: string;
  readonly backend: string;
  readonly features: readonly string[];
  readonly limits: NegotiatedLimits;
  readonly serverTimeMs: number;
}

/** Limits that the node sets for this connection; names end in their unit. */
export interface NegotiatedLimits {
  readonly frameBytesMax: number;
  readonly messageBytesMax: number;
  readonly keyBytesMax: number;
  readonly headersBytesMax: number;
  readonly topicsPerConnectionMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly tailBytesMax: number;
  readonly idleTimeoutMs: number;
}

// [P-4.1] hello := "MQP1" versionMin:u16 versionMax:u16 producerId:u64 epoch:u16 clientTimeMs:u64
//                  nameLength:u8 name authMechanism:u8 authLength:u16 auth        flags: UNORDERED

export function encodeHello(writer: FrameWriter, correlationId: number, hello: Hello): void {
  const name = Buffer.from(hello.name);
  if (
    name.length > PROTOCOL_LIMIT.clientNameBytesMax ||
    hello.auth.length > PROTOCOL_LIMIT.authBytesMax
  ) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      'the name or the proof of HELLO is too long',
    );
  }
  writer.begin(Opcode.HELLO, hello.unordered ? HelloFlag.UNORDERED : 0, 0, correlationId);
  writer.utf8(MAGIC);
  writer.u16(hello.versionMin);
  writer.u16(hello.versionMax);
  writer.id64(hello.producerId);
  writer.u16(hello.epoch);
  writer.u64(hello.clientTimeMs);
  writer.u8(name.length);
  writer.bytes(name);
  writer.u8(hello.authMechanism);
  writer.u16(hello.auth.length);
  writer.bytes(hello.auth);
  writer.end();
}

/** @throws ProtocolError BAD_MAGIC when it is no HELLO, or UNKNOWN_FLAGS, MALFORMED */
export function decodeHello(frame: Frame): Hello {
  if (frame.opcode !== Opcode.HELLO || frame.body.toString('latin1', 0, 4) !== MAGIC) {
    throw new ProtocolError(
      ErrorCode.BAD_MAGIC,
      `the first frame is a HELLO that begins with ${MAGIC}`,
    );
  }
  checkFlags(frame.flags, HELLO_FLAGS, 'HELLO');
  const reader = new BodyReader(frame.body, 'HELLO');
  reader.bytes(4, 'magic');
  const hello = {
    unordered: (frame.flags & HelloFlag.UNORDERED) !== 0,
    versionMin: reader.u16('versionMin'),
    versionMax: reader.u16('versionMax'),
    producerId: reader.id64('producerId'),
    epoch: reader.u16('epoch'),
    clientTimeMs: reader.u64('clientTimeMs'),
    name: reader.text(reader.u8('nameLength'), 'name'),
    authMechanism: reader.u8('authMechanism'),
    auth: reader.bytes(reader.u16('authLength'), 'auth'),
  };
  reader.end();
  checkHello(hello);
  return hello;
}

/**
 * The version to speak with a client of this range.
 * @throws ProtocolError UNSUPPORTED_VERSION
 */
export function negotiateVersion(hello: Pick<Hello, 'versionMin' | 'versionMax'>): number {
  if (hello.versionMin > PROTOCOL_VERSION || hello.versionMax < PROTOCOL_VERSION) {
    throw new ProtocolError(
      ErrorCode.UNSUPPORTED_VERSION,
      `versions ${hello.versionMin}-${hello.versionMax} were asked for;` +
        ` version ${PROTOCOL_VERSION} is spoken here`,
    );
  }
  return PROTOCOL_VERSION;
}

// [P-4.2] answer := version:u16 producerId:u64 epoch:u16 lastSequence:u48 map

export function encodeHelloAnswer(
  writer: FrameWriter,
  correlationId: number,
  answer: HelloAnswer,
): void {
  const { version, producerId, epoch, lastSequence, ...map } = answer;
  writer.begin(Opcode.HELLO | ANSWER, 0, 0, correlationId);
  writer.u16(version);
  writer.id64(producerId);
  writer.u16(epoch);
  writer.u48(lastSequence);
  writer.bytes(encodeMap(map));
  writer.end();
}

/** Keys of the map that this client does not know are ignored: a newer node may say more. */
export function decodeHelloAnswer(frame: Frame): HelloAnswer {
  const reader = new BodyReader(frame.body, 'answer to HELLO');
  const version = reader.u16('version');
  const producerId = reader.id64('producerId');
  const epoch = reader.u16('epoch');
  const lastSequence = reader.u48('lastSequence');
  const map = decodeMap(reader.rest(), 'answer to HELLO');
  const limits = mapField(map, 'limits');
  return {
    version,
    producerId,
    epoch,
    lastSequence,
    nodeId: stringField(map, 'nodeId'),
    nodeVersion: stringField(map, 'nodeVersion'),
    backend: stringField(map, 'backend'),
    features: stringsField(map, 'features'),
    limits: {
      frameBytesMax: integerField(limits, 'frameBytesMax', PROTOCOL_LIMIT.frameBytesBeforeHelloMax),
      messageBytesMax: integerField(limits, 'messageBytesMax'),
      keyBytesMax: integerField(limits, 'keyBytesMax'),
      headersBytesMax: integerField(limits, 'headersBytesMax'),
      topicsPerConnectionMax: integerField(limits, 'topicsPerConnectionMax'),
      inFlightMessagesMax: integerField(limits, 'inFlightMessagesMax'),
      inFlightBytesMax: integerField(limits, 'inFlightBytesMax'),
      tailBytesMax: integerField(limits, 'tailBytesMax'),
      idleTimeoutMs: integerField(limits, 'idleTimeoutMs'),
    },
    serverTimeMs: integerField(map, 'serverTimeMs'),
  };
}

function checkHello(hello: Hello): void {
  if (hello.versionMin > hello.versionMax) throw malformed('HELLO: versionMin is above versionMax');
  if (hello.authMechanism === AuthMechanism.NONE && hello.auth.length > 0) {
    throw malformed('HELLO: a proof came with the mechanism none');
  }
  if (hello.auth.length > PROTOCOL_LIMIT.authBytesMax) {
    throw malformed(`HELLO: a proof has at most ${PROTOCOL_LIMIT.authBytesMax} bytes`);
  }
  if (hello.authMechanism > AuthMechanism.TOKEN) {
    throw new ProtocolError(
      ErrorCode.AUTHENTICATION_FAILED,
      `authentication mechanism ${hello.authMechanism} is not known; 0 is none, 1 is token`,
    );
  }
}
