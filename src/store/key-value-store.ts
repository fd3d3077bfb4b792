/** The bindings that can stand behind the port. */
export type DriverName = 'rocksdb' | 'nxtedition';

/** A change in a write. `value` undefined deletes the key. Buffers are copied by `write`. */
export interface KeyValueOp {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** What is iterated: keys in `[from, to)`, bytewise. */
export interface KeyRange {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** How it is iterated. */
export interface IterateOptions {
  /** Values are empty then. */
  readonly keysOnly?: boolean;
  readonly reverse?: boolean;
  /** Entries at most. */
  readonly limit?: number;
  /** Bytes fetched per step; default 1 MiB. */
  readonly readAheadBytes?: number;
}

/** An entry; its buffers are owned by the caller. */
export interface KeyValueEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** How a store is opened. */
export interface KeyValueOpenOptions {
  readonly folder: string;
  /** false: an empty or missing folder is an error, and nothing is written to it. */
  readonly createIfMissing: boolean;
  /** Keys that begin so are many, and proven by their reader: they are not read at the opening. */
  readonly unproven?: string;
}

/** An ordered store of keys and values, one process at a time. Errors are the binding's own. */
export interface KeyValueStore {
  readonly driver: DriverName;
  /** All or nothing. With `sync` it resolves after fdatasync of the log. */
  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void>;
  get(key: Buffer): Promise<Buffer | undefined>;
  /** A consistent view of the moment when the first entry is asked for. */
  iterate(range: KeyRange, options?: IterateOptions): AsyncGenerator<KeyValueEntry>;
  /** Gives deleted space back where the binding can be asked to; else it happens by itself. */
  compact(range: KeyRange): Promise<void>;
  close(): Promise<void>;
}

/** A driver opens a folder. */
export type OpenKeyValueStore = (options: KeyValueOpenOptions) => Promise<KeyValueStore>;

/** The binding for a version of Node: the prebuilt `rocksdb` aborts the process from 22 on. */
export function driverForNode(version: string): DriverName {
  return Number.parseInt(version.replace(/^v/, ''), 10) >= 22 ? 'nxtedition' : 'rocksdb';
}
