// Forms of single values that JSON, text and binary share: durations, timestamps, base64, and property names that objects treat specially.

export const typeUrlPrefix = 'type.googleapis.com/';

/** `google.protobuf.Duration` in memory. Both parts have the same sign. */
export interface Duration {
  readonly seconds: number;
  readonly nanos: number;
}

/** `google.protobuf.Timestamp` in memory. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export type DurationInit = Duration | `${number}s`;
export type TimestampInit = Timestamp | string;

/** `google.protobuf.Value`, `Struct`. */
export type JsonValue = string | number | boolean | null | JsonObject | readonly JsonValue[];
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/**
 * `google.protobuf.Any` in memory: the message itself and its `@type`. One with a form of its own (`google.protobuf.StringValue`) sits
 * in `value`; when the type is unknown, `value` has the bytes.
 */
export interface Packed {
  readonly '@type': string;
}

declare const noFields: unique symbol;
/** Of a message without fields: with this, TypeScript refuses any other property. */
export interface NoFields {
  readonly [noFields]?: never;
}

/** The largest duration protobuf allows, about 10,000 years. */
export const maxDurationSeconds = 315_576_000_000;
const minTimestampSeconds = -62_135_596_800; // 0001-01-01
const maxTimestampSeconds = 253_402_300_799; // 9999-12-31T23:59:59Z

/** `0.250s`: as many decimals as needed, in threes. */
export function formatDuration({ seconds, nanos }: Duration): string {
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`;
}

/** Reads `1.5s`; undefined when it is not a duration or out of range. */
export function parseDuration(text: string): Duration | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (!match) return undefined;
  const sign = match[1] ? -1 : 1;
  const seconds = Number(match[2]);
  const nanos = Number((match[3] ?? '').padEnd(9, '0'));
  if (seconds > maxDurationSeconds || (seconds === maxDurationSeconds && nanos > 0)) return undefined;
  return { seconds: sign * seconds || 0, nanos: sign * nanos || 0 };
}

/** RFC 3339 in UTC, `2025-01-31T10:00:00.250Z`. What protobuf does not allow becomes the nearest that it does. */
export function formatTimestamp({ seconds, nanos }: Timestamp): string {
  const within = Math.min(Math.max(seconds, minTimestampSeconds), maxTimestampSeconds);
  const whole = new Date(within * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction(nanos)}Z`;
}

/** Reads RFC 3339 with any offset; undefined when it is not a timestamp or out of range. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}${match[4]!.toUpperCase()}`);
  const seconds = ms / 1000;
  if (Number.isNaN(ms) || seconds < minTimestampSeconds || seconds > maxTimestampSeconds) return undefined;
  return { seconds, nanos: Number((match[3] ?? '').padEnd(9, '0')) };
}

function fraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  if (digits.endsWith('000000')) return `.${digits.slice(0, 3)}`;
  return `.${digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
}

export function formatBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Reads base64 in either alphabet, padded or not; undefined when it is something else. */
export function parseBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) return undefined;
  const digits = text.replace(/=+$/, '');
  if (digits.length % 4 === 1 || (text !== digits && text.length % 4 !== 0)) return undefined;
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** `object[key] = value` for keys from outside, among which may be `__proto__`. */
export function put(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
