import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, Opcode } from './generated.ts';
import type { MapBody } from './map-body.ts';
import { decodeMap } from './map-body.ts';
import { readRequest, writeMap } from './map-frame.ts';

/** The four codecs of an opcode whose request and answer are maps. */
export interface MapMessage<Request extends object, Answer extends object> {
  readonly opcode: number;
  encode(writer: FrameWriter, correlationId: number, request: Request): void;
  /**
   * Bytes in it are borrowed from the frame.
   * @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT, and what its fields refuse
   */
  decode(frame: Frame): Request;
  encodeAnswer(writer: FrameWriter, correlationId: number, answer: Answer): void;
  /** Keys that are not known here are left in: a newer node may say more. Bytes are borrowed. */
  decodeAnswer(frame: Frame): Answer;
}

/** What a {@link MapMessage} is made from. */
export interface MapMessageRules<Request extends object> {
  readonly name: keyof typeof Opcode;
  /** Every key that a request may have; another is INVALID_ARGUMENT [P-1.6]. */
  readonly keys: readonly (keyof Request & string)[];
  /** Reads a request, and refuses what is not allowed in it. */
  request(map: MapBody): Request;
  /** Refuses an answer that lacks what a client relies on. */
  answer(map: MapBody): void;
}

export function mapMessage<Request extends object, Answer extends object>(
  rules: MapMessageRules<Request>,
): MapMessage<Request, Answer> {
  const opcode = Opcode[rules.name];
  return {
    opcode,
    encode: (writer, correlationId, request) => writeMap(writer, opcode, correlationId, request),
    decode: (frame) => rules.request(readRequest(frame, rules.name, rules.keys)),
    encodeAnswer: (writer, correlationId, answer) =>
      writeMap(writer, opcode | ANSWER, correlationId, answer),
    decodeAnswer: (frame) => {
      const map = decodeMap(frame.body, `answer to ${rules.name}`);
      rules.answer(map);
      return map as Answer;
    },
  };
}

/** For answers that say nothing but that it was done. */
export function nothing(): void {}
