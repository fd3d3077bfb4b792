/** A message as all commands print it, before it is made text. */
export interface PrintableRecord {
  readonly topic: string;
  /** Absent where it is not known yet. */
  readonly partition?: number | undefined;
  readonly offset?: number | undefined;
  readonly timestampMs: number;
  readonly id?: string | undefined;
  readonly key: Uint8Array | null;
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
  readonly value: Uint8Array | null;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The one JSON shape of a message. Bytes are strings where they are valid UTF-8; else the field is
 * named `keyBase64`, `valueBase64`, and a header's value is `{"base64": …}`. A name that a message
 * has more than once holds an array in the order sent.
 */
export function recordJson(record: PrintableRecord): Record<string, unknown> {
  const json: Record<string, unknown> = {
    topic: record.topic,
    partition: record.partition ?? null,
    offset: record.offset ?? null,
    timestamp: new Date(record.timestampMs).toISOString(),
    id: record.id ?? null,
  };
  putBytes(json, 'key', record.key);
  json['headers'] = headersJson(record.headers);
  putBytes(json, 'value', record.value);
  return json;
}

/** A consumed message: that shape, with the cluster and how often it was delivered. */
export function consumedJson(
  message: PrintableRecord & { readonly cluster: string; readonly attempt: number },
): Record<string, unknown> {
  return { ...recordJson(message), cluster: message.cluster, attempt: message.attempt };
}

function putBytes(json: Record<string, unknown>, name: string, bytes: Uint8Array | null): void {
  const text = bytes === null ? null : textOf(bytes);
  if (text === undefined) json[`${name}Base64`] = base64(bytes ?? new Uint8Array());
  else json[name] = text;
}

function headersJson(headers: PrintableRecord['headers']): Record<string, unknown> {
  const byName = new Map<string, unknown[]>();
  for (const [name, value] of headers) {
    const text = value === null ? null : (textOf(value) ?? { base64: base64(value) });
    const values = byName.get(name);
    if (values === undefined) byName.set(name, [text]);
    else values.push(text);
  }
  const entries = [...byName].map(([name, values]) => [
    name,
    values.length === 1 ? values[0] : values,
  ]);
  // A header may be named __proto__: fromEntries defines, where an assignment would not.
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
