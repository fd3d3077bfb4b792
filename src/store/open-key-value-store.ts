import assert from 'node:assert';
import {
  type DriverName,
  driverForNode,
  type KeyValueOpenOptions,
  type KeyValueStore,
} from './key-value-store.ts';

let loaded: DriverName | undefined;

/** Opens a store by the driver that fits this Node, or by the one that is named. */
export async function openKeyValueStore(
  options: KeyValueOpenOptions & { driver?: DriverName },
): Promise<KeyValueStore> {
  const driver = options.driver ?? driverForNode(process.version);
  // Each binding brings a RocksDB of its own, and two versions in one process crash it.
  assert((loaded ?? driver) === driver, `this process has loaded ${loaded}, not ${driver}`);
  loaded = driver;
  if (driver === 'rocksdb') {
    const { openRocksdb } = await import('./rocksdb-driver.ts');
    return openRocksdb(options);
  }
  const { openNxtedition } = await import('./nxtedition-driver.ts');
  return openNxtedition(options);
}
