/** Where a setting's value comes from, the strongest first. */
export type OriginKind = 'flag' | 'environment' | 'file' | 'default';

/** Where one value came from: the kind, and the flag, variable or file as the user wrote it. */
export interface Origin {
  readonly kind: OriginKind;
  readonly detail: string;
}

/** A value as it was written, with its place. */
export interface RawValue {
  readonly keys: readonly string[];
  readonly value: unknown;
  readonly origin: Origin;
}
