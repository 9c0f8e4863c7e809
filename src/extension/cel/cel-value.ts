// Values of CEL as Envoy shows them: in a text, and in JSON. Times are made here, too.
import type { CelInput } from '@bufbuild/cel';
import { type CelLibrary, celLibrary } from '#base/cel-library.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';

export function celDuration(ms: number): unknown {
  const { create, DurationSchema } = celLibrary();
  return create(DurationSchema, parts(ms));
}

export function celTimestamp(ms: number): unknown {
  const { create, TimestampSchema } = celLibrary();
  return create(TimestampSchema, parts(ms));
}

function parts(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** `%CEL(...)%` */
export function celToText(value: unknown): string {
  const kind = kindOf(value);
  switch (kind.is) {
    case 'string':
      return latin1OfUtf8(kind.value);
    case 'bytes':
      return Buffer.from(kind.value).toString('latin1');
    case 'double':
      return sixDigits(kind.value);
    case 'duration':
      return durationText(kind.seconds, kind.nanos);
    case 'timestamp':
      return `${new Date(Number(kind.seconds) * 1000).toISOString().slice(0, 19)}${fraction(kind.nanos)}+00:00`;
    case 'null':
      return 'NULL';
    case 'map':
      return metadataText(value as object) ?? 'CelMap value';
    case 'list':
      return 'CelList value';
    case 'type':
      return 'CelType value';
    case 'message':
      return 'Message value';
    default:
      return String(kind.value);
  }
}

/** `%TYPED_CEL(...)%`, as JSON. */
export function celToJson(value: unknown): unknown {
  const kind = kindOf(value);
  switch (kind.is) {
    case 'string':
      return latin1OfUtf8(kind.value);
    case 'bytes':
      return Buffer.from(kind.value).toString('base64');
    case 'int':
      return Number(kind.value);
    case 'duration': {
      const { seconds, nanos } = kind;
      return `${nanos < 0 && seconds === 0n ? '-' : ''}${seconds}${jsonFraction(Math.abs(nanos))}s`;
    }
    case 'timestamp':
      return `${new Date(Number(kind.seconds) * 1000).toISOString().slice(0, 19)}${jsonFraction(kind.nanos)}Z`;
    case 'null':
      return null;
    case 'list':
      return Array.from(kind.value, celToJson);
    case 'map':
      if (celMapsWithoutKeys.has(value as object)) return undefined;
      if (metadataText(value as object) === '') return {};
      return Object.fromEntries(
        Array.from(kind.value.entries(), ([key, it]) => [latin1OfUtf8(String(key)), celToJson(it)]),
      );
    case 'type':
    case 'message':
      return undefined;
    default:
      return kind.value;
  }
}

/** Maps that cannot be listed: groups of attributes. */
export const celMapsWithoutKeys = new WeakSet<object>();
const metadataMessages = new WeakMap<object, Readonly<Record<string, unknown>>>();

/** `envoy.config.core.v3.Metadata`, without its typed part. */
export function celMetadata(all: Readonly<Record<string, unknown>> | undefined): unknown {
  const map = celLibrary().celMap(
    new Map(Object.entries({ filter_metadata: all ?? {} }) as [string, CelInput][]),
  );
  metadataMessages.set(map, all ?? {});
  return map;
}

/** The message on one line. */
function metadataText(map: object): string | undefined {
  const all = metadataMessages.get(map);
  if (all === undefined) return undefined;
  return latin1OfUtf8(
    Object.keys(all)
      .sort()
      .map((key) => `filter_metadata { key: ${JSON.stringify(key)} value { ${fieldsText(all[key])}} } `)
      .join(''),
  );
}

function fieldsText(struct: unknown): string {
  const fields = struct as Readonly<Record<string, unknown>>;
  return Object.keys(fields)
    .sort()
    .map((key) => `fields { key: ${JSON.stringify(key)} value { ${valueText(fields[key])}} } `)
    .join('');
}

function valueText(value: unknown): string {
  if (value === null) return 'null_value: NULL_VALUE ';
  if (typeof value === 'number') return `number_value: ${value} `;
  if (typeof value === 'boolean') return `bool_value: ${value} `;
  if (typeof value === 'string') return `string_value: ${JSON.stringify(value)} `;
  if (Array.isArray(value))
    return `list_value { ${value.map((it) => `values { ${valueText(it)}} `).join('')}} `;
  return `struct_value { ${fieldsText(value)}} `;
}

type Kind =
  | { readonly is: 'bool'; readonly value: boolean }
  | { readonly is: 'int'; readonly value: bigint }
  | { readonly is: 'double'; readonly value: number }
  | { readonly is: 'string'; readonly value: string }
  | { readonly is: 'bytes'; readonly value: Uint8Array }
  | { readonly is: 'list'; readonly value: Iterable<unknown> }
  | { readonly is: 'map'; readonly value: { entries(): Iterable<[unknown, unknown]> } }
  | { readonly is: 'duration' | 'timestamp'; readonly seconds: bigint; readonly nanos: number }
  | { readonly is: 'null' | 'type' | 'message' };

function kindOf(value: unknown): Kind {
  const library: CelLibrary = celLibrary();
  if (typeof value === 'boolean') return { is: 'bool', value };
  if (typeof value === 'bigint') return { is: 'int', value };
  if (typeof value === 'number') return { is: 'double', value };
  if (typeof value === 'string') return { is: 'string', value };
  if (value === null || value === undefined) return { is: 'null' };
  if (library.isCelUint(value)) return { is: 'int', value: value.value };
  if (value instanceof Uint8Array) return { is: 'bytes', value };
  if (library.isCelList(value)) return { is: 'list', value };
  if (library.isCelMap(value)) return { is: 'map', value };
  if (library.isCelType(value)) return { is: 'type' };
  const { message } = value as { message?: { $typeName: string; seconds: bigint; nanos: number } };
  if (message?.$typeName === 'google.protobuf.Duration')
    return { is: 'duration', seconds: message.seconds, nanos: message.nanos };
  if (message?.$typeName === 'google.protobuf.Timestamp')
    return { is: 'timestamp', seconds: message.seconds, nanos: message.nanos };
  return { is: 'message' };
}

/** As C's `%g`. */
function sixDigits(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const [digits = '', exponent] = value.toExponential(5).split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(Number(value.toPrecision(6)));
  return `${digits.replace(/\.?0+$/, '')}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

function fraction(nanos: number): string {
  return nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
}

/** Of 3, 6 or 9 digits. */
function jsonFraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
}

/** `72h3m0.5s`, `1.5ms`. */
function durationText(seconds: bigint, nanos: number): string {
  let all = seconds * 1_000_000_000n + BigInt(nanos);
  if (all === 0n) return '0';
  const sign = all < 0n ? '-' : '';
  if (all < 0n) all = -all;
  const unit = (size: bigint, name: string) => {
    const rest = String(all % size).padStart(String(size).length - 1, '0');
    const decimals = size === 1n ? '' : rest.replace(/0+$/, '');
    return `${sign}${all / size}${decimals === '' ? '' : `.${decimals}`}${name}`;
  };
  if (all < 1_000n) return unit(1n, 'ns');
  if (all < 1_000_000n) return unit(1_000n, 'us');
  if (all < 1_000_000_000n) return unit(1_000_000n, 'ms');
  const hours = all / 3_600_000_000_000n;
  const minutes = (all / 60_000_000_000n) % 60n;
  const rest = all % 60_000_000_000n;
  const secondsText = fraction(Number(rest % 1_000_000_000n));
  return `${sign}${hours > 0n ? `${hours}h` : ''}${minutes > 0n ? `${minutes}m` : ''}${rest === 0n ? '' : `${rest / 1_000_000_000n}${secondsText}s`}`;
}
