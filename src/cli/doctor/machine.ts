import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { messageOf } from '../../base/errors.ts';
import { driverForNode } from '../../store/key-value-store.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const require = createRequire(import.meta.url);

/** Checks Node.js, and that what was compiled is there. */
export async function checkMachine(): Promise<Finding[]> {
  const findings: Finding[] = [];
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const node = `Node.js ${process.versions.node}, ${availableParallelism()} cores`;
  const isNew = major > 20 || (major === 20 && minor >= 19);
  findings.push(isNew ? ok('machine', node) : fail('machine', node, 'update to 20.19 or newer'));
  try {
    await import('../../native/addon.ts');
    findings.push(ok('machine', 'the native addon loads'));
  } catch (error) {
    const found = `the native addon does not load: ${messageOf(error).split('\n')[0]}`;
    findings.push(
      fail('machine', found, 'run npm run build (needs a C++ compiler, make, python3)'),
    );
  }
  const store = driverForNode(process.version) === 'rocksdb' ? 'rocksdb' : '@nxtedition/rocksdb';
  try {
    require.resolve(store);
    findings.push(ok('machine', `the store is ${store}`));
  } catch {
    findings.push(fail('machine', `${store} is not installed`, 'run npm install'));
  }
  if (process.platform !== 'linux') {
    const found = `${process.platform} is for trying out`;
    findings.push(warn('machine', found, 'tests of durability and speed run on Linux'));
  }
  return findings;
}
