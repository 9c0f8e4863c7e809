// Messages as JSON, in the form of Envoy's dumps: proto field names in the order of their numbers, packed messages written out, secrets
// redacted. Reading JSON is the work of config/.
import { type Field, type Message, type MessageType, type Scalar, scalarDefault } from './descriptor.ts';
import { messageOfTypeUrl } from './registry.ts';
import {
  type Duration,
  formatBase64,
  formatDuration,
  formatTimestamp,
  put,
  type Timestamp,
} from './values.ts';
import { isDefault, isTypedStruct, sortedKeys } from './well-known.ts';

export interface JsonOptions {
  /** `connectTimeout` instead of `connect_timeout`. Default: false. */
  readonly camelCase?: boolean;
  /** Write scalars, lists and maps that hold their default too, as `/server_info` does. Default: false. */
  readonly defaults?: boolean;
  /** Write `[redacted]` for texts and bytes that the API marks as sensitive, and leave out such numbers. Default: false. */
  readonly redact?: boolean;
}

/** The message as a tree for `jsonText` or `JSON.stringify`. */
export function toJson(type: MessageType<object>, message: object, options: JsonOptions = {}): unknown {
  return new JsonWriter(options).content(type as MessageType, message, false);
}

const redacted = '[redacted]';
const redactedBytes = formatBase64(Buffer.from(redacted));

class JsonWriter {
  readonly #options: JsonOptions;

  constructor(options: JsonOptions) {
    this.#options = options;
  }

  /** `isSecret`: inside of a sensitive field. */
  content(type: MessageType, value: unknown, isSecret: boolean): unknown {
    switch (type.wellKnown) {
      case undefined:
        if (this.#options.redact && isTypedStruct(type))
          return this.#fields(type, withoutSecrets(value as Message), {}, isSecret);
        return this.#fields(type, value as Message, {}, isSecret);
      case 'any':
        return this.#packed(value as Message, isSecret);
      case 'wrapper': {
        const { scalar } = type.field('value')!;
        return isSecret
          ? scalarJson(scalar!, secretOf(scalar!) ?? scalarDefault(scalar!))
          : scalarJson(scalar!, value);
      }
      case 'duration':
        return formatDuration(isSecret ? { seconds: 0, nanos: 0 } : (value as Duration));
      case 'timestamp':
        return formatTimestamp(isSecret ? { seconds: 0, nanos: 0 } : (value as Timestamp));
      case 'field_mask':
        return isSecret ? redacted : (value as { paths: string[] }).paths.map(camelCase).join(',');
      default:
        return plainJson(value, isSecret);
    }
  }

  #fields(type: MessageType, message: Message, into: Message, isSecret: boolean): Message {
    for (const field of type.fieldsByNumber) {
      let value = message[field.name];
      if (value === undefined && this.#options.defaults) value = field.defaultValue;
      if (value === undefined) continue;
      const secret = isSecret || (this.#options.redact === true && field.isSensitive);
      if (!secret || isShownRedacted(field)) this.#field(field, value, into, secret);
    }
    return into;
  }

  #field(field: Field, value: unknown, into: Message, isSecret: boolean): void {
    const name = this.#options.camelCase ? field.jsonName : field.name;
    if (field.isRepeated) {
      const list = value as readonly unknown[];
      if (list.length > 0 || this.#options.defaults)
        into[name] = list.map((it) => this.#element(field, it, isSecret));
    } else if (field.kind === 'map') {
      const keys = sortedKeys(value as Message, field.mapKey);
      if (keys.length === 0 && !this.#options.defaults) return;
      const map: Message = {};
      for (const key of keys) put(map, key, this.#element(field.mapValue, (value as Message)[key], isSecret));
      into[name] = map;
    } else if (field.hasPresence || this.#options.defaults || !isDefault(field, value))
      into[name] = this.#element(field, value, isSecret);
  }

  #element(field: Field, value: unknown, isSecret: boolean): unknown {
    if (field.kind === 'message') return this.content(field.message, value, isSecret);
    if (field.kind === 'scalar') return isSecret ? secretOf(field.scalar!) : scalarJson(field.scalar!, value);
    return field.enum.name === 'google.protobuf.NullValue' ? null : value;
  }

  #packed(any: Message, isSecret: boolean): unknown {
    const url = any['@type'] as string | undefined;
    if (!url) return {};
    const type = messageOfTypeUrl(url);
    if (!type) return { '@type': url, value: isSecret ? redactedBytes : scalarJson('bytes', any.value) };
    if (type.wellKnown) return { '@type': url, value: this.content(type, any.value, isSecret) };
    const content = this.content(type, any, isSecret) as Message;
    return { '@type': url, ...content };
  }
}

// Numbers, booleans and enums have no redacted form: Envoy clears them.
function isShownRedacted(field: Field): boolean {
  const shown = field.kind === 'map' ? field.mapValue : field;
  return shown.kind === 'message' || shown.scalar === 'string' || shown.scalar === 'bytes';
}

function secretOf(scalar: Scalar): string | undefined {
  if (scalar === 'string') return redacted;
  return scalar === 'bytes' ? redactedBytes : undefined;
}

function scalarJson(scalar: Scalar, value: unknown): unknown {
  if (typeof value === 'number') return numberJson(scalar === 'float' ? shortFloat(value) : value);
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? formatBase64(value) : value;
}

function numberJson(value: number): number | string {
  return Number.isFinite(value) ? value : String(value); // "NaN", "Infinity", "-Infinity"
}

/** 0.1 and not 0.10000000149011612: `%.6g`, or `%.9g` where that would lose something. */
export function shortFloat(value: number): number {
  const short = Number(value.toPrecision(6));
  return Math.fround(short) === value ? short : Number(value.toPrecision(9));
}

function plainJson(value: unknown, isSecret: boolean): unknown {
  if (Array.isArray(value)) return value.map((it) => plainJson(it, isSecret));
  if (typeof value === 'object' && value !== null) {
    const map: Message = {};
    for (const key of Object.keys(value).sort()) put(map, key, plainJson((value as Message)[key], isSecret));
    return map;
  }
  if (isSecret) return typeof value === 'string' ? redacted : null;
  return typeof value === 'number' ? numberJson(value) : value;
}

/** A TypedStruct whose struct has no secrets of the message that it stands for. */
function withoutSecrets(typedStruct: Message): Message {
  const type = messageOfTypeUrl(typedStruct.type_url as string);
  if (!type || !typedStruct.value) return typedStruct;
  return { ...typedStruct, value: structWithoutSecrets(type, typedStruct.value) };
}

function structWithoutSecrets(type: MessageType, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const inner = type.wellKnown === 'any' ? messageOfTypeUrl(String((value as Message)['@type'])) : type;
  if (!inner || inner.wellKnown) return value;
  const result: Message = {};
  for (const [key, entry] of Object.entries(value)) {
    const field = inner.field(key) ?? inner.fieldByJsonName(key);
    put(result, key, field ? fieldWithoutSecrets(field, entry) : entry);
  }
  return result;
}

function fieldWithoutSecrets(field: Field, value: unknown): unknown {
  if (field.isSensitive) return plainJson(value, true);
  if (field.isRepeated && Array.isArray(value)) return value.map((it) => elementWithoutSecrets(field, it));
  if (field.kind === 'map' && typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, it]) => [key, elementWithoutSecrets(field.mapValue, it)]),
    );
  return elementWithoutSecrets(field, value);
}

function elementWithoutSecrets(field: Field, value: unknown): unknown {
  return field.kind === 'message' ? structWithoutSecrets(field.message, value) : value;
}

const camelCase = (path: string) => path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/**
 * Prints a tree as Envoy does: one space per level, `<` and invisible characters escaped, numbers as C prints them. With indent 0 on
 * one line.
 */
export function jsonText(value: unknown, indent = 1): string {
  return print(value, indent === 0 ? '' : '\n', ' '.repeat(indent));
}

function print(value: unknown, newline: string, indent: string): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return numberText(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const inner = newline + (newline && indent);
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[${value.map((it) => inner + print(it, inner, indent)).join(',')}${newline}]`;
  }
  const colon = newline ? ': ' : ':';
  const entries = Object.entries(value).filter(([, it]) => it !== undefined);
  if (entries.length === 0) return '{}';
  return `{${entries.map(([key, it]) => inner + quoted(key) + colon + print(it, inner, indent)).join(',')}${newline}}`;
}

// Beyond what JSON asks for: what hides in a terminal or ends a script. Found by printing every such character through Envoy.
const hidden =
  /[<>\u007f-\u009f\u00ad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb]|\ud834[\udd73-\udd7a]|\udb40[\udc01\udc20-\udc7f]/g;

function quoted(text: string): string {
  return JSON.stringify(text).replace(hidden, (found) =>
    found.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/** `%.15g`, or `%.17g` where that would lose something. */
function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return Object.is(value, -0) ? '-0' : String(value);
  const digits = Number(value.toPrecision(15)) === value ? 15 : 17;
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e') as [string, string];
  const short = mantissa.replace(/\.?0+$/, '');
  const power = Number(exponent);
  if (power >= -4 && power < digits)
    return Number(value.toPrecision(digits))
      .toFixed(Math.max(0, digits - 1 - power))
      .replace(/(\.\d*?)0+$/, '$1')
      .replace(/\.$/, '');
  return `${short}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}
