import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repoRoot } from './repo.ts';

/** One golden vector, as protocol/vectors/make.py wrote it. */
export interface Vector {
  readonly name: string;
  readonly kind: 'request' | 'response' | 'malformed' | 'bytes';
  /** Names the codec: `hello`, `hello-answer`, `produce` … */
  readonly type: string;
  /** Whole frames, or the bare bytes when not `framed`. */
  readonly hex: string;
  readonly framed: boolean;
  readonly fields?: Json;
  /** Name of the error code that a malformed one must give. */
  readonly error?: string;
  /** Another encoding is as good: do not compare the encoder's bytes. */
  readonly reencode?: false;
  /** Bound of the length field; default that of a ready connection. */
  readonly frameBytesMax?: number;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface VectorFile {
  readonly file: string;
  readonly clauses: readonly string[];
  readonly vectors: readonly Vector[];
}

/** The folder of the golden vectors. */
export const vectorsDir = join(repoRoot, 'protocol', 'vectors');

/** Every file of vectors, by name. */
export function readVectors(): VectorFile[] {
  const files = readdirSync(vectorsDir).filter((name) => name.endsWith('.json'));
  return files.sort().map((file) => {
    const text = readFileSync(join(vectorsDir, file), 'utf8');
    return { file, ...(JSON.parse(text) as Omit<VectorFile, 'file'>) };
  });
}
