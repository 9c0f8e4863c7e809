// Protobuf's text format, by descriptor: `.pb_text` files. Packed messages stand as `[type.googleapis.com/some.Type] { ... }`.
import { decodeMessage } from './binary.ts';
import { type Field, type Message, type MessageType, type Scalar, scalarDefault } from './descriptor.ts';
import { shortFloat } from './json.ts';
import { messageOfTypeUrl } from './registry.ts';
import { quote, TextScanner, TextSyntaxError, type Token, unquote } from './text-scan.ts';
import { put } from './values.ts';
import { emptyValue, fromFields, isDefault, sortedKeys, toFields } from './well-known.ts';

export interface TextProblem {
  readonly kind: 'syntax' | 'unknown-field' | 'invalid-value' | 'oneof-conflict';
  /** The field, in proto names; empty at the top. */
  readonly path: string;
  readonly problem: string;
  /** The name that was not found, and those there are: of fields or enum values. */
  readonly unknown?: { readonly name: string; readonly candidates: readonly string[] } | undefined;
  /** Where in the text, counted in characters from 0. */
  readonly offset: number;
  /** Counted from 1. */
  readonly line: number;
  readonly column: number;
}

export interface TextOptions {
  /** Called for each value before it is read: its path, and where its name and the value itself begin. */
  readonly onValue?: (path: readonly (string | number)[], nameAt: number, valueAt: number) => void;
}

/** Reads a message. What can be read is read; all problems are collected, up to the first that makes the rest unreadable. */
export function readText(
  type: MessageType<object>,
  text: string,
  options: TextOptions = {},
): { message: Message; problems: TextProblem[] } {
  const found: Found[] = [];
  const message = (type as MessageType).create();
  let reader: TextReader | undefined;
  try {
    reader = new TextReader(text, options, (it) => found.push(it));
    reader.fields(type as MessageType, message, '');
  } catch (error) {
    if (!(error instanceof TextSyntaxError)) throw error;
    found.push({ kind: 'syntax', path: reader?.path ?? '', problem: error.message, offset: error.offset });
  }
  return { message, problems: withPlaces(text, found) };
}

type Found = Omit<TextProblem, 'line' | 'column'>;

function withPlaces(text: string, found: Found[]): TextProblem[] {
  let line = 1;
  let lineStart = 0;
  return found
    .sort((a, b) => a.offset - b.offset)
    .map((it) => {
      for (;;) {
        const end = text.indexOf('\n', lineStart);
        if (end < 0 || end >= it.offset) return { ...it, line, column: it.offset - lineStart + 1 };
        line++;
        lineStart = end + 1;
      }
    });
}

const maxDepth = 100;

class TextReader {
  readonly #scanner: TextScanner;
  readonly #report: (found: Found) => void;
  readonly #onValue: TextOptions['onValue'];
  readonly #path: (string | number)[] = [];
  #depth = 0;

  constructor(text: string, options: TextOptions, report: (found: Found) => void) {
    this.#scanner = new TextScanner(text);
    this.#onValue = options.onValue;
    this.#report = report;
  }

  get path(): string {
    let path = '';
    for (const step of this.#path)
      path +=
        typeof step === 'number' ? `[${step}]` : step.startsWith('[') || path === '' ? step : `.${step}`;
    return path;
  }

  /** Reads fields until the closing sign; until the end of the text when that is empty. */
  fields(type: MessageType, into: Message, close: string): void {
    if (this.#depth++ > maxDepth) this.#fail(`more than ${maxDepth} messages inside each other`);
    const scanner = this.#scanner;
    while (scanner.token.kind !== 'end' && !scanner.isSign(close)) {
      this.#field(type, into);
      if (!scanner.takeSign(';')) scanner.takeSign(',');
    }
    if (scanner.token.kind === 'end' ? close !== '' : !scanner.takeSign(close))
      this.#fail(`expected "${close}"`);
    this.#depth--;
  }

  #field(type: MessageType, into: Message): void {
    const scanner = this.#scanner;
    const name = scanner.token;
    if (name.kind !== 'name') this.#fail(`expected the name of a field, got ${shown(name)}`);
    scanner.take();
    const field = type.field(name.text);
    if (!field) {
      const problem = `message type "${type.name}" has no field named "${name.text}"`;
      const candidates = type.fields.map((it) => it.name);
      this.#problem(problem, name.offset, 'unknown-field', { name: name.text, candidates });
      this.#skipField();
      return;
    }
    this.#path.push(field.name);
    const hasColon = scanner.takeSign(':');
    const isMessage = field.kind === 'message' || field.kind === 'map';
    if (!hasColon && !isMessage) this.#fail('expected ":"');
    this.#onValue?.(this.#path, name.offset, scanner.token.offset);
    if (field.isRepeated || field.kind === 'map') this.#list(field, into, name.offset);
    else {
      this.#checkOnce(field, into, name.offset);
      into[field.name] = this.#value(field);
    }
    this.#path.pop();
  }

  #checkOnce(field: Field, into: Message, offset: number): void {
    if (Object.hasOwn(into, field.name)) this.#problem(`"${field.name}" is given more than once`, offset);
    const other = field.oneof?.fields.find((it) => it !== field && Object.hasOwn(into, it.name));
    if (!other) return;
    const problem = `"${field.name}" cannot be combined with "${other.name}" (oneof ${field.oneof!.name})`;
    this.#problem(problem, offset, 'oneof-conflict');
    delete into[other.name];
  }

  #list(field: Field, into: Message, nameAt: number): void {
    const scanner = this.#scanner;
    if (!scanner.takeSign('[')) {
      this.#item(field, into, nameAt);
      return;
    }
    if (scanner.takeSign(']')) return;
    do this.#item(field, into, nameAt);
    while (scanner.takeSign(','));
    if (!scanner.takeSign(']')) this.#fail('expected "," or "]"');
  }

  #item(field: Field, into: Message, nameAt: number): void {
    if (field.kind === 'map') {
      if (!Object.hasOwn(into, field.name)) into[field.name] = {};
      this.#mapEntry(field, into[field.name] as Message);
      return;
    }
    if (!Object.hasOwn(into, field.name)) into[field.name] = [];
    const list = into[field.name] as unknown[];
    this.#path.push(list.length);
    this.#onValue?.(this.#path, nameAt, this.#scanner.token.offset);
    list.push(this.#value(field));
    this.#path.pop();
  }

  #mapEntry(field: Field, map: Message): void {
    const entry = field.mapEntry;
    const read: Message = {};
    this.fields(entry, read, this.#open());
    const value = Object.hasOwn(read, 'value') ? read.value : emptyValue(field.mapValue);
    put(map, String(read.key ?? scalarDefault(field.mapKey)), value);
  }

  /** Takes the sign that opens a message and answers with the one that closes it. */
  #open(): string {
    if (this.#scanner.takeSign('{')) return '}';
    if (this.#scanner.takeSign('<')) return '>';
    return this.#fail(`expected "{", got ${shown(this.#scanner.token)}`);
  }

  #value(field: Field): unknown {
    if (field.kind === 'enum') return this.#enum(field);
    if (field.kind === 'scalar') return this.#scalar(field.scalar!);
    const type = field.message;
    const close = this.#open();
    return type.wellKnown === 'any' ? this.#any(type, close) : this.#content(type, close);
  }

  #content(type: MessageType, close: string): unknown {
    const read = type.create();
    this.fields(type, read, close);
    return fromFields(type, read);
  }

  #any(any: MessageType, close: string): unknown {
    const scanner = this.#scanner;
    if (!scanner.takeSign('[')) {
      const { offset } = scanner.token;
      const raw = any.create();
      this.fields(any, raw, close);
      return this.#unpacked(raw as unknown as { type_url: string; value: Uint8Array }, offset);
    }
    const { offset } = scanner.token;
    const url = this.#typeUrl();
    scanner.takeSign(':');
    const inner = this.#open();
    const type = messageOfTypeUrl(url);
    let result: Message;
    if (!type) {
      this.#problem(`unknown type "${url}"`, offset);
      this.#skipMessage(inner);
      result = { '@type': url, value: new Uint8Array(0) };
    } else if (type.wellKnown) result = { '@type': url, value: this.#content(type, inner) };
    else {
      result = type.create();
      result['@type'] = url;
      this.fields(type, result, inner);
    }
    if (!scanner.takeSign(close)) this.#fail(`expected "${close}"`);
    return result;
  }

  /** An Any written as its two fields. */
  #unpacked({ type_url: url, value }: { type_url: string; value: Uint8Array }, offset: number): unknown {
    const type = messageOfTypeUrl(url);
    if (!type) return { '@type': url, value };
    try {
      const content = decodeMessage(type, value);
      if (type.wellKnown) return { '@type': url, value: fromFields(type, content) };
      content['@type'] = url;
      return content;
    } catch (error) {
      this.#problem((error as Error).message, offset);
      return { '@type': url, value };
    }
  }

  #typeUrl(): string {
    let url = '';
    while (!this.#scanner.isSign(']')) {
      if (this.#scanner.token.kind === 'end') this.#fail('expected "]"');
      url += this.#scanner.take().text;
    }
    this.#scanner.take();
    return url;
  }

  #enum(field: Field): unknown {
    const token = this.#scanner.token;
    if (token.kind === 'name') {
      this.#scanner.take();
      if (field.enum.value(token.text)) return token.text;
      const candidates = field.enum.values.map((it) => it.name);
      this.#problem(`"${token.text}" is not a value of ${field.enum.name}`, token.offset, 'invalid-value', {
        name: token.text,
        candidates,
      });
      return field.enum.nameOf(0);
    }
    return field.enum.nameOf(this.#integer('int32') as number);
  }

  #scalar(scalar: Scalar): unknown {
    switch (scalar) {
      case 'string': {
        const { offset } = this.#scanner.token;
        const bytes = this.#bytes();
        const text = bytes.toString();
        if (!Buffer.from(text).equals(bytes)) this.#problem('not UTF-8', offset);
        return text;
      }
      case 'bytes':
        return new Uint8Array(this.#bytes());
      case 'bool':
        return this.#bool();
      case 'double':
        return this.#real();
      case 'float':
        return Math.fround(this.#real());
      default:
        return this.#integer(scalar);
    }
  }

  // Strings that follow each other are one.
  #bytes(): Buffer {
    const parts: Buffer[] = [];
    if (this.#scanner.token.kind !== 'string')
      this.#fail(`expected a text in quotes, got ${shown(this.#scanner.token)}`);
    while (this.#scanner.token.kind === 'string') parts.push(unquote(this.#scanner.take()));
    return Buffer.concat(parts);
  }

  #bool(): boolean {
    const token = this.#scanner.take();
    if (/^(true|True|t|1|0x1|01)$/.test(token.text)) return true;
    if (!/^(false|False|f|0|0x0|00)$/.test(token.text))
      this.#problem(`expected true or false, got ${shown(token)}`, token.offset);
    return false;
  }

  #real(): number {
    const { offset } = this.#scanner.token;
    const sign = this.#scanner.takeSign('-') ? -1 : 1;
    const token = this.#scanner.take();
    if (token.kind === 'name' && /^inf(inity)?f?$/i.test(token.text)) return sign * Number.POSITIVE_INFINITY;
    if (token.kind === 'name' && /^nanf?$/i.test(token.text)) return Number.NaN;
    if (token.kind === 'number')
      return sign * Number(/^0[xX]/.test(token.text) ? token.text : token.text.replace(/f$/i, ''));
    this.#problem(`expected a number, got ${shown(token)}`, offset);
    return 0;
  }

  #integer(scalar: Scalar): number | bigint {
    const { offset } = this.#scanner.token;
    const isNegative = this.#scanner.takeSign('-');
    const token = this.#scanner.take();
    const [low, high] = range(scalar);
    const isOctal = /^0[0-7]+$/.test(token.text);
    if (
      token.kind !== 'number' ||
      !/^(0[xX][0-9a-fA-F]+|\d+)$/.test(token.text) ||
      (/^0\d/.test(token.text) && !isOctal)
    )
      this.#problem(`expected an integer, got ${shown(token)}`, offset);
    else {
      const value = BigInt(isOctal ? `0o${token.text}` : token.text) * (isNegative ? -1n : 1n);
      if (value >= low && value <= high) return scalar.includes('64') ? value : Number(value);
      this.#problem(`${value} is out of range for ${scalar}: ${low} to ${high}`, offset);
    }
    return scalar.includes('64') ? 0n : 0;
  }

  #skipField(): void {
    const scanner = this.#scanner;
    const hasColon = scanner.takeSign(':');
    if (!hasColon && !scanner.isSign('{') && !scanner.isSign('<')) this.#fail('expected ":"');
    this.#skipValue();
  }

  #skipValue(): void {
    const scanner = this.#scanner;
    if (!scanner.takeSign('[')) {
      this.#skipElement();
      return;
    }
    if (scanner.takeSign(']')) return;
    do this.#skipElement();
    while (scanner.takeSign(','));
    if (!scanner.takeSign(']')) this.#fail('expected "," or "]"');
  }

  #skipElement(): void {
    const scanner = this.#scanner;
    if (scanner.isSign('{') || scanner.isSign('<')) this.#skipMessage(this.#open());
    else if (scanner.token.kind === 'string') this.#bytes();
    else {
      scanner.takeSign('-');
      const token = scanner.take();
      if (token.kind === 'sign' || token.kind === 'end') this.#fail(`expected a value, got ${shown(token)}`);
    }
  }

  #skipMessage(close: string): void {
    if (this.#depth++ > maxDepth) this.#fail(`more than ${maxDepth} messages inside each other`);
    const scanner = this.#scanner;
    while (!scanner.takeSign(close)) {
      if (scanner.takeSign('[')) this.#typeUrl();
      else if (scanner.token.kind === 'name') scanner.take();
      else this.#fail(`expected the name of a field, got ${shown(scanner.token)}`);
      this.#skipField();
      if (!scanner.takeSign(';')) scanner.takeSign(',');
    }
    this.#depth--;
  }

  #problem(
    problem: string,
    offset: number,
    kind: TextProblem['kind'] = 'invalid-value',
    unknown?: TextProblem['unknown'],
  ): void {
    this.#report({ kind, path: this.path, problem, unknown, offset });
  }

  #fail(problem: string): never {
    throw new TextSyntaxError(problem, this.#scanner.token.offset);
  }
}

function shown(token: Token): string {
  return token.kind === 'end' || token.kind === 'string' ? token.text : `"${token.text}"`;
}

function range(scalar: Scalar): [bigint, bigint] {
  const bits = scalar.includes('64') ? 64n : 32n;
  const isUnsigned = scalar.startsWith('u') || scalar.startsWith('fixed');
  return isUnsigned ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
}

/** Writes a message: one field per line, in the order of their numbers. */
export function writeText(type: MessageType<object>, message: object): string {
  const lines: string[] = [];
  writeFields(type as MessageType, message as Message, '', lines);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function writeFields(type: MessageType, message: Message, indent: string, lines: string[]): void {
  for (const field of type.fieldsByNumber) {
    const value = message[field.name];
    if (value === undefined) continue;
    if (field.isRepeated) {
      for (const element of value as readonly unknown[])
        writeField(field.name, field, element, indent, lines);
    } else if (field.kind === 'map') {
      for (const key of sortedKeys(value as Message, field.mapKey)) {
        lines.push(`${indent}${field.name} {`);
        lines.push(`${indent}  key: ${field.mapKey === 'string' ? quote(key) : key}`);
        writeField('value', field.mapValue, (value as Message)[key], `${indent}  `, lines);
        lines.push(`${indent}}`);
      }
    } else if (field.hasPresence || !isDefault(field, value))
      writeField(field.name, field, value, indent, lines);
  }
}

function writeField(name: string, field: Field, value: unknown, indent: string, lines: string[]): void {
  if (field.kind === 'enum') lines.push(`${indent}${name}: ${value}`);
  else if (field.kind === 'scalar') lines.push(`${indent}${name}: ${scalarText(field.scalar!, value)}`);
  else {
    lines.push(`${indent}${name} {`);
    writeContent(field.message, value, `${indent}  `, lines);
    lines.push(`${indent}}`);
  }
}

function writeContent(type: MessageType, value: unknown, indent: string, lines: string[]): void {
  if (type.wellKnown !== 'any') {
    writeFields(type, toFields(type, value), indent, lines);
    return;
  }
  const any = value as Message;
  const url = any['@type'] as string | undefined;
  const inner = url && messageOfTypeUrl(url);
  if (inner) {
    lines.push(`${indent}[${url}] {`);
    writeContent(inner, inner.wellKnown ? any.value : any, `${indent}  `, lines);
    lines.push(`${indent}}`);
  } else if (url) {
    lines.push(`${indent}type_url: ${quote(url)}`);
    if (any.value instanceof Uint8Array) lines.push(`${indent}value: ${quote(any.value)}`);
  }
}

function scalarText(scalar: Scalar, value: unknown): string {
  if (typeof value === 'string' || value instanceof Uint8Array) return quote(value);
  if (typeof value !== 'number' || Number.isFinite(value))
    return scalar === 'float'
      ? String(shortFloat(value as number))
      : Object.is(value, -0)
        ? '-0'
        : String(value);
  return Number.isNaN(value) ? 'nan' : value < 0 ? '-inf' : 'inf';
}
