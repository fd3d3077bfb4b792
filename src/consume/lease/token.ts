import { createHash } from 'node:crypto';
import { ShortHmac } from './short-hmac.ts';

/** Length of a lease token, in bytes. */
export const TOKEN_BYTES = 48;

const VERSION = 1;
const SIGNED_BYTES = 36;
const TWO_32 = 0x1_0000_0000;

/** What a token names; see the grammar in token.ts. */
export interface TokenFields {
  cluster: number;
  /** {@link ownerHash}, as two words. */
  ownerHigh: number;
  ownerLow: number;
  partition: number;
  firstOffset: number;
  ownerEpoch: number;
  /** Serial of the run, unique in the owner epoch. */
  leaseRun: number;
}

// token := version:u8=1 cluster:u8 reserved:u16=0 owner:u64 partition:u32 firstOffset:u64
//          ownerEpoch:u48 leaseRun:u48 mac:12
//          mac := the first 12 bytes of HMAC-SHA-256(cluster secret, the 36 bytes before it)

/** Makes and reads lease tokens of one cluster secret. */
export class Tokens {
  /** First 8 bytes of the secret's SHA-256: names it without telling it. */
  readonly fingerprint: Buffer;
  readonly #hmac: ShortHmac;

  constructor(secret: Uint8Array) {
    this.#hmac = new ShortHmac(secret);
    this.fingerprint = createHash('sha256').update(secret).digest().subarray(0, 8);
  }

  /** Writes a token of {@link TOKEN_BYTES}. */
  write(out: Buffer, at: number, fields: TokenFields): void {
    out.writeUInt32BE(((VERSION << 24) | (fields.cluster << 16)) >>> 0, at);
    out.writeUInt32BE(fields.ownerHigh, at + 4);
    out.writeUInt32BE(fields.ownerLow, at + 8);
    out.writeUInt32BE(fields.partition, at + 12);
    out.writeUInt32BE(Math.floor(fields.firstOffset / TWO_32), at + 16);
    out.writeUInt32BE(fields.firstOffset >>> 0, at + 20);
    out.writeUIntBE(fields.ownerEpoch, at + 24, 6);
    out.writeUIntBE(fields.leaseRun, at + 30, 6);
    const mac = this.#hmac.sign(out, at, SIGNED_BYTES);
    for (let i = 0; i < 3; i++) out.writeInt32BE(mac[i] as number, at + SIGNED_BYTES + i * 4);
  }

  /** Whether the token was made with this secret. Takes the same time for every answer. */
  isGood(bytes: Buffer, at: number): boolean {
    const mac = this.#hmac.sign(bytes, at, SIGNED_BYTES);
    let differs = bytes.readUInt32BE(at) & 0xff00_ffff;
    differs ^= VERSION << 24;
    for (let i = 0; i < 3; i++) {
      differs |= (mac[i] as number) ^ bytes.readInt32BE(at + SIGNED_BYTES + i * 4);
    }
    return differs === 0;
  }
}

/** Reads a token's fields into `fields`, whatever its MAC says. */
export function readToken(bytes: Buffer, at: number, fields: TokenFields): void {
  fields.cluster = bytes[at + 1] as number;
  fields.ownerHigh = bytes.readUInt32BE(at + 4);
  fields.ownerLow = bytes.readUInt32BE(at + 8);
  fields.partition = bytes.readUInt32BE(at + 12);
  fields.firstOffset = bytes.readUInt32BE(at + 16) * TWO_32 + bytes.readUInt32BE(at + 20);
  fields.ownerEpoch = bytes.readUIntBE(at + 24, 6);
  fields.leaseRun = bytes.readUIntBE(at + 30, 6);
}

/** Who owns a group's topic on a node: the first 8 bytes of a SHA-256 over the three names. */
export function ownerHash(nodeId: string, group: string, topic: string): Buffer {
  const text = `${nodeId}\0${group}\0${topic}`;
  return createHash('sha256').update(text).digest().subarray(0, 8);
}
