import type { Frame } from '../../protocol/src/frame.ts';
import type { FrameWriter } from '../../protocol/src/frame-writer.ts';

/** A codec as the vectors see it: what was read, as JSON, and back. */
export interface FrameCodec {
  decode(frame: Frame): unknown;
  encode(writer: FrameWriter, fields: Fields): void;
}

/** A vector's fields, with bytes and ids made real by `fromJson`. */
export type Fields = Record<string, unknown> & { readonly correlationId: number };

/** A codec of a frame whose fields are one object beside the correlation id. */
export function simple<T extends object>(
  decode: (frame: Frame) => T,
  encode: (writer: FrameWriter, correlationId: number, value: T) => void,
): FrameCodec {
  return {
    decode: (frame) => ({ correlationId: frame.correlationId, ...decode(frame) }),
    encode: (writer, { correlationId, ...value }) => encode(writer, correlationId, value as T),
  };
}
