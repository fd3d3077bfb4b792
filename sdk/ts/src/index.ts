// The face of the package: the one file that may re-export.
// biome-ignore-all lint/performance/noBarrelFile: a package has one entry
// biome-ignore-all lint/performance/noReExportAll: types cost nothing
export { MqpClient } from './client.ts';
export type * from './consume-types.ts';
export { Consumer } from './consumer.ts';
export { MqpError } from './errors.ts';
export type * from './types.ts';
