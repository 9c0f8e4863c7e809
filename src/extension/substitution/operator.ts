// What a command of a format string does when it runs. Operators are made once; a call reads the context and allocates its result.
import { isUtf8 } from 'node:buffer';
import { portOfAddress } from '#base/cidr.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import { firstValue, type HeaderField } from '#http/header-field.ts';
import type { FormatContext } from '../formatter.ts';
import { valueAt } from '../matchers/value-matcher.ts';

export interface Operator {
  /** The value as text; undefined when there is none (`-` in text, null in JSON). */
  text(context: FormatContext): string | undefined;
  /** The value with its JSON type; undefined when there is none. */
  value(context: FormatContext): unknown;
  /** What `value` returns is of a Struct: its numbers are written as such. */
  readonly isStruct?: boolean;
  /** A length cuts `text` only. */
  readonly isWholeInJson?: boolean;
}

/** A field that is text. Empty texts are no value unless `keepsEmpty`. */
export class TextOperator implements Operator {
  readonly #read: (context: FormatContext) => string | undefined;
  readonly #keepsEmpty: boolean;

  constructor(read: (context: FormatContext) => string | undefined, keepsEmpty = false) {
    this.#read = read;
    this.#keepsEmpty = keepsEmpty;
  }

  text(context: FormatContext): string | undefined {
    const text = this.#read(context);
    return text === '' && !this.#keepsEmpty ? undefined : text;
  }

  value(context: FormatContext): unknown {
    return this.text(context);
  }
}

/** A field that is a number; -1 and undefined are no value. */
export class NumberOperator implements Operator {
  readonly #read: (context: FormatContext) => number | undefined;
  readonly #least: number;

  constructor(read: (context: FormatContext) => number | undefined, least = 0) {
    this.#read = read;
    this.#least = least;
  }

  text(context: FormatContext): string | undefined {
    const number = this.#read(context);
    return number === undefined || number < this.#least ? undefined : String(number);
  }

  value(context: FormatContext): unknown {
    const number = this.#read(context);
    return number === undefined || number < this.#least ? undefined : number;
  }
}

/** The port of an address: of a path, nothing. */
export class PortOperator implements Operator {
  readonly #read: (context: FormatContext) => string;

  constructor(read: (context: FormatContext) => string) {
    this.#read = read;
  }

  text(context: FormatContext): string | undefined {
    const address = this.#read(context);
    if (address === '') return undefined;
    return isPath(address) ? '' : String(portOfAddress(address));
  }

  value(context: FormatContext): unknown {
    const address = this.#read(context);
    return address === '' || isPath(address) ? undefined : portOfAddress(address);
  }
}

/** Of a Unix socket. */
export function isPath(address: string): boolean {
  return address.startsWith('/') || address.startsWith('@');
}

/** A field of any JSON type: text is itself, the rest is written as JSON. */
export class ValueOperator implements Operator {
  readonly isStruct = true;
  readonly #read: (context: FormatContext) => unknown;

  constructor(read: (context: FormatContext) => unknown) {
    this.#read = read;
  }

  text(context: FormatContext): string | undefined {
    const value = this.#read(context);
    return value === undefined || typeof value === 'string' ? value : sortedJson(value);
  }

  value(context: FormatContext): unknown {
    return this.#read(context);
  }
}

/** A text, cut. */
export class CutOperator implements Operator {
  readonly isStruct: boolean;
  readonly #operator: Operator;
  readonly #length: number;

  constructor(operator: Operator, length: number) {
    this.isStruct = operator.isStruct === true;
    this.#operator = operator;
    this.#length = length;
  }

  text(context: FormatContext): string | undefined {
    const text = this.#operator.text(context);
    return text !== undefined && text.length > this.#length ? text.slice(0, this.#length) : text;
  }

  value(context: FormatContext): unknown {
    const value = this.#operator.value(context);
    if (this.#operator.isWholeInJson === true) return value;
    return typeof value === 'string' && value.length > this.#length ? value.slice(0, this.#length) : value;
  }
}

export type HeaderSource = 'requestHeaders' | 'responseHeaders' | 'responseTrailers';

/** `%REQ(X?Y)%` and its sisters: the first value of X, else of Y. */
export class HeaderOperator implements Operator {
  readonly #source: HeaderSource;
  readonly #field: HeaderField;
  readonly #name: string;
  readonly #otherField: HeaderField;
  readonly #otherName: string;

  /** Names are lower-case; an empty one is no header. */
  constructor(
    source: HeaderSource,
    field: HeaderField,
    name: string,
    otherField: HeaderField,
    otherName: string,
  ) {
    this.#source = source;
    this.#field = field;
    this.#name = name;
    this.#otherField = otherField;
    this.#otherName = otherName;
  }

  text(context: FormatContext): string | undefined {
    const headers = context[this.#source];
    if (headers === undefined) return undefined;
    const value = firstValue(headers, this.#field, this.#name);
    if (value !== undefined || this.#otherName === '') return value;
    return firstValue(headers, this.#otherField, this.#otherName);
  }

  value(context: FormatContext): unknown {
    return this.text(context);
  }
}

type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** `%DYNAMIC_METADATA(filter:key:...)%` and the other kinds of metadata. */
export class MetadataOperator implements Operator {
  readonly isStruct = true;
  readonly #read: (context: FormatContext) => Metadata | undefined;
  readonly #path: readonly string[];

  constructor(read: (context: FormatContext) => Metadata | undefined, path: readonly string[]) {
    this.#read = read;
    this.#path = path;
  }

  text(context: FormatContext): string | undefined {
    const value = this.value(context);
    return value === undefined || typeof value === 'string' ? value : sortedJson(value);
  }

  value(context: FormatContext): unknown {
    const metadata = this.#read(context);
    return metadata === undefined ? undefined : inBytes(valueAt(metadata, this.#path) ?? undefined);
  }
}

/** A struct whose texts and keys are Unicode, with them as latin1 that holds UTF-8. */
function inBytes(value: unknown): unknown {
  if (typeof value === 'string') return latin1OfUtf8(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(inBytes);
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [latin1OfUtf8(key), inBytes(it)]));
}

/** The first operator that has a value. */
export class CoalesceOperator implements Operator {
  readonly #operators: readonly Operator[];

  constructor(operators: readonly Operator[]) {
    this.#operators = operators;
  }

  text(context: FormatContext): string | undefined {
    for (let i = 0; i < this.#operators.length; i++) {
      const text = this.#operators[i]!.text(context);
      if (text !== undefined) return text;
    }
    return undefined;
  }

  value(context: FormatContext): unknown {
    for (let i = 0; i < this.#operators.length; i++) {
      const value = this.#operators[i]!.value(context);
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

/** JSON as Envoy prints structs: keys in order, every number a double. */
export function sortedJson(value: unknown): string {
  if (typeof value === 'number') return doubleText(value);
  if (typeof value !== 'object' || value === null) return jsonText(value);
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  const members = Object.keys(value)
    .sort()
    .map((key) => `${jsonText(key)}:${sortedJson((value as Record<string, unknown>)[key])}`);
  return `{${members.join(',')}}`;
}

/** The shorter one of 120000000 and 1.2e+08. */
function doubleText(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  const plain = Number.isInteger(value) ? String(BigInt(value)) : String(value);
  const [digits, exponent = ''] = value.toExponential().split('e');
  const power = exponent.slice(1).padStart(2, '0');
  const scientific = `${digits}e${exponent[0]}${power}`;
  return plain.includes('e') || scientific.length < plain.length ? scientific : plain;
}

/** Anything but printable ASCII without quote and backslash, and bytes of UTF-8. */
const needsEscape = /[^ !#-[\]-~\u0080-\uffff]/;
const notPlain = /[^ !#-[\]-~]/g;
const isBytes = /[\u0080-\u00ff]/;

/** A single JSON value. Texts are latin1 that holds UTF-8, so they come out as the bytes they are; other bytes are escaped. */
export function jsonText(value: unknown): string {
  if (typeof value === 'string') {
    const text = needsEscape.test(value) ? JSON.stringify(value) : `"${value}"`;
    if (!isBytes.test(value) || isUtf8(Buffer.from(value, 'latin1'))) return text;
    return `"${value.replace(notPlain, (byte) => `\\u00${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
  }
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : `"${value}"`;
  return value === undefined ? 'null' : JSON.stringify(value);
}
