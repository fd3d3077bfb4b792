import assert from 'node:assert';
import { coded } from '../base/errors.ts';
import { commitMetadataBytesMax, type OffsetCommit } from './consumer-port.ts';

/** @throws INVALID_ARGUMENT for metadata that no broker would take. */
export function checkCommits(entries: readonly OffsetCommit[]): void {
  for (const { metadata, offset } of entries) {
    assert(Number.isSafeInteger(offset) && offset >= 0, 'a commit is of an offset');
    if (metadata.length <= commitMetadataBytesMax && /^[\x20-\x7e]*$/.test(metadata)) continue;
    throw coded(
      'INVALID_ARGUMENT',
      `the metadata of a commit is printable ASCII of at most ${commitMetadataBytesMax} bytes`,
    );
  }
}
