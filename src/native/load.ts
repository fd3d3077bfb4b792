import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { coded, messageOf } from '../base/errors.ts';
import { packageRoot } from '../base/package-root.ts';

/**
 * The exports of the native addon, `build/Release/mq_native.node` below the package's root. Each
 * thread loads it for itself; later calls in a thread give the same object.
 *
 * @throws CodedError `NATIVE_MISSING` when it was not built or does not load here.
 */
export function loadAddon(): object {
  const root = packageRoot();
  const file = join(root, 'build', 'Release', 'mq_native.node');
  if (!existsSync(file)) {
    throw coded('NATIVE_MISSING', `the native part is not there: ${file}`, { hint });
  }
  try {
    return createRequire(import.meta.url)(file) as object;
  } catch (error) {
    const message = `the native part does not load: ${messageOf(error)}`;
    throw coded('NATIVE_MISSING', message, { cause: error, hint });
  }
}

const hint = 'build it with `npm run build`';
